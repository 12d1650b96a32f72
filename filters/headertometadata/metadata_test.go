package headertometadata_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weftmesh/weft/test/e2e"
)

// The outcomes are Envoy's, which was asked the same.
func TestNotes(t *testing.T) {
	const n = "metadata_namespace: m"
	file := filepath.Join(t.TempDir(), "log")
	p := e2e.Filtered(t, e2e.Echo(t), e2e.Filter("h", "header_to_metadata.v3.Config", `request_rules: [
  {header: x-v, on_header_present: {`+n+`, key: k, type: NUMBER}, on_header_missing: {`+n+`, key: missing, value: d}, remove: true},
  {cookie: c, on_header_present: {key: ck}},
  {header: x-b, on_header_present: {`+n+`, key: b, encode: BASE64}},
  {header: x-w, on_header_present: {`+n+`, key: w, regex_value_rewrite: {pattern: {regex: a(.)}, substitution: '<\1>'}}}]`), e2e.All,
		`access_log: [{name: l, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "`+file+`", log_format: {text_format_source: {inline_string: "%DYNAMIC_METADATA(m)% %DYNAMIC_METADATA(envoy.filters.http.header_to_metadata)%\n"}}}}]`)
	c := p.Dial()
	if r := c.Get("/", "x-v: 12", "cookie: a=b; c=d", "x-b: aGk=", "x-w: xaby"); strings.Contains(r.Body, "x-v") {
		t.Error("the field was not taken out")
	}
	c.Get("/", "x-v: zz")
	c.Get("/")
	c.Get("/", "x-v: 1", "x-b: not base 64")
	c.Get("/", "x-w: a1", "x-w: a2")
	want := `{"b":"hi","k":12,"w":"x<b>y"} {"ck":"d"}
- -
{"missing":"d"} -
{"k":1} -
{"missing":"d","w":"<1>,<2>"} -
`
	var got []byte
	p.Eventually("five lines", func() bool {
		got, _ = os.ReadFile(file)
		return strings.Count(string(got), "\n") == 5
	})
	if string(got) != want {
		t.Errorf("noted\n%swant\n%s", got, want)
	}
}
