package accesslog

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weftmesh/weft/wire/http"
)

var unexported = cmp.AllowUnexported(operator{}, span{}, timePiece{})

func TestParse(t *testing.T) {
	field := func(k kind, from field, name string) operator {
		return operator{kind: k, from: from, name: name, id: http.Lookup(name), max: -1}
	}
	with := func(o operator, change func(*operator)) operator {
		change(&o)
		return o
	}
	for text, want := range map[string][]operator{
		"":                                   nil,
		"plain 100%%\n":                      {literal("plain 100%\n")},
		"%PROTOCOL%":                         {{kind: opProtocol, max: -1}},
		"a%PROTOCOL%%%%RESPONSE_CODE%b":      {literal("a"), {kind: opProtocol, max: -1}, literal("%"), {kind: opStatus, max: -1}, literal("b")},
		"%REQ(X-Request-Id)%":                {field(opRequestField, fieldNamed, "x-request-id")},
		"%REQ(:METHOD)%":                     {field(opRequestField, fieldMethod, ":method")},
		"%REQ(Host)%":                        {field(opRequestField, fieldAuthority, "host")},
		"%RESP(:STATUS):2%":                  {with(field(opResponseField, fieldStatus, ":status"), func(o *operator) { o.max = 2 })},
		"%TRAILER(grpc-status):0%":           {with(field(opTrailerField, fieldNamed, "grpc-status"), func(o *operator) { o.max = 0 })},
		"%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%": {with(field(opRequestField, fieldNamed, "x-envoy-original-path"), func(o *operator) { o.alt, o.altFrom = ":path", fieldPath })},
		"%QUERY_PARAM(a b):3%":               {{kind: opQueryParameter, name: "a b", max: 3}},
		"%DURATION%":                         {{kind: opSpan, span: span{pointStart, pointEnd, 1e3}, max: -1}},
		"%COMMON_DURATION(US_TX_BEG:US_RX_BEG:us)%":  {{kind: opSpan, span: span{pointUpstreamFirstSent, pointUpstreamHead, 1e6}, max: -1}},
		"%COMMON_DURATION(US_HS_END:US_CX_END)%":     {{kind: opSpan, span: span{pointUpstreamShaken, pointConnected, 1e3}, max: -1}},
		"%FILTER_STATE(a:FIELD:b):2%":                {{kind: opAbsent, name: "a", max: 2}},
		"%XFCC_VALUE(URI):2%":                        {{kind: opForwardedCert, name: "uri", max: -1}},
		"%RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%": {{kind: opDetails, keepSpace: true, max: -1}},
		"%ENVIRONMENT(WEFT_TEST_SET):3%":             {{kind: opConstant, text: []byte("hel"), max: -1}},
		"%ENVIRONMENT(WEFT_TEST_UNSET)%":             {{kind: opConstant, text: []byte("-"), max: -1}},
		"%REQUESTED_SERVER_NAME%":                    {{kind: opServerName, max: -1}},
		"%REQUESTED_SERVER_NAME(HOST_FIRST)%":        {{kind: opServerName, altFrom: fieldAuthority, max: -1}},
		"%REQUESTED_SERVER_NAME(SNI_FIRST)%":         {{kind: opServerName, from: fieldAuthority, max: -1}},
		"%START_TIME%":                               {{kind: opStartTime, time: []timePiece{{what: timeISO}}, max: -1}},
		"%START_TIME(%s.%3f)%": {{kind: opStartTime, max: -1, time: []timePiece{
			{what: timeUnix}, {what: timeText, text: "."}, {what: timeFraction, digits: 3}}}},
		"%START_TIME_LOCAL(%Y/%m/%dT%T%Ez %E3S%%)%": {{kind: opStartTimeLocal, max: -1, time: []timePiece{
			{what: timeYear}, {what: timeText, text: "/"}, {what: timeMonth}, {what: timeText, text: "/"}, {what: timeDay}, {what: timeText, text: "T"},
			{what: timeHour}, {what: timeText, text: ":"}, {what: timeMinute}, {what: timeText, text: ":"}, {what: timeSecond}, {what: timeOffsetColon},
			{what: timeText, text: " "}, {what: timeSecondsFraction, digits: 3}, {what: timeText, text: "%"}}}},
	} {
		t.Setenv("WEFT_TEST_SET", "hello")
		f, err := Parse(text, Options{})
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if d := cmp.Diff(want, f.ops, unexported); d != "" {
			t.Errorf("%q: %s", text, d)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"50%":                          `accesslog: no operator at byte 3 ("%"): write %NAME%, %NAME(PARAMETER)% or %NAME(PARAMETER):LENGTH%, and %% for a percent sign`,
		"%REQ(A":                       `accesslog: no operator at byte 1 ("%REQ(A"): write %NAME%, %NAME(PARAMETER)% or %NAME(PARAMETER):LENGTH%, and %% for a percent sign`,
		"%REQ(A):x%":                   `accesslog: no operator at byte 1 ("%REQ(A):x%"): write %NAME%, %NAME(PARAMETER)% or %NAME(PARAMETER):LENGTH%, and %% for a percent sign`,
		"%protocol%":                   `accesslog: no operator at byte 1 ("%protocol%"): write %NAME%, %NAME(PARAMETER)% or %NAME(PARAMETER):LENGTH%, and %% for a percent sign`,
		"ab %REQUEST_ID%":              `accesslog: REQUEST_ID at byte 4: not an operator that is supported; the nearest that is supported is REQUEST_DURATION`,
		"%X%":                          `accesslog: X at byte 1: not an operator that is supported; there are ` + list(commands),
		"%REQ%":                        `accesslog: REQ at byte 1: wants a parameter, as in %REQ(…)%`,
		"%REQ()%":                      `accesslog: REQ at byte 1: wants a parameter, as in %REQ(…)%`,
		"%REQ(a?b?c)%":                 `accesslog: REQ at byte 1: parameter "a?b?c": at most one alternative after ?`,
		"%REQ(a b)%":                   `accesslog: REQ at byte 1: parameter "a b": ' ' cannot be in a field's name`,
		"%PROTOCOL(x)%":                `accesslog: PROTOCOL at byte 1: takes neither a parameter nor a length`,
		"%PROTOCOL:3%":                 `accesslog: PROTOCOL at byte 1: takes neither a parameter nor a length`,
		"%START_TIME:3%":               `accesslog: START_TIME at byte 1: takes no length`,
		"%START_TIME(%n)%":             `accesslog: START_TIME at byte 1: time format: %n is not supported`,
		"%START_TIME(%0f)%":            `accesslog: START_TIME at byte 1: time format: %0 is not supported`,
		"%COMMON_DURATION(a)%":         `accesslog: COMMON_DURATION at byte 1: parameter "a": want FROM:TO or FROM:TO:UNIT, as in DS_RX_BEG:DS_TX_END:ms`,
		"%COMMON_DURATION(a:b:s)%":     `accesslog: COMMON_DURATION at byte 1: unit "s": want ms, us or ns`,
		"%FILTER_STATE(a:FIELD)%":      `accesslog: FILTER_STATE at byte 1: parameter "a:FIELD": want the name of a field after the colon`,
		"%FILTER_STATE(a:PLAIN:b)%":    `accesslog: FILTER_STATE at byte 1: parameter "a:PLAIN:b": want a field's name only after FIELD`,
		"%FILTER_STATE(a:b)%":          `accesslog: FILTER_STATE at byte 1: parameter "a:b": want a:PLAIN, a:TYPED or a:FIELD:…`,
		"%XFCC_VALUE%":                 `accesslog: XFCC_VALUE at byte 1: wants a parameter, as in %XFCC_VALUE(…)%`,
		"%XFCC_VALUE(uris)%":           `accesslog: XFCC_VALUE at byte 1: parameter "uris": want one of by, hash, cert, chain, subject, uri, dns`,
		strings.Repeat("a", maxText+1): `accesslog: a format has at most 65536 bytes, not 65537`,
	} {
		if _, err := Parse(text, Options{}); err == nil || err.Error() != want {
			t.Errorf("%.40q: want %s, got %v", text, want, err)
		}
	}
}

func TestParseJSON(t *testing.T) {
	f, err := ParseJSON(map[string]any{
		"b":    "%PROTOCOL%",
		"a\"":  "x\n%REQ(:PATH)%",
		"c":    map[string]any{"d": []any{"%RESPONSE_CODE%", 1.5, true, nil, "%%"}},
		"void": map[string]any{},
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []operator{
		literal(`{"a\"":"x\n`), {kind: opRequestField, from: fieldPath, name: ":path", write: writeInside, max: -1},
		literal(`","b":`), {kind: opProtocol, write: writeValue, max: -1},
		literal(`,"c":{"d":[`), {kind: opStatus, write: writeValue, max: -1},
		literal(`,1.5,true,null,"%"]},"void":{}}` + "\n"),
	}
	if d := cmp.Diff(want, f.ops, unexported); d != "" {
		t.Error(d)
	}
	deep := any("x")
	for range maxDepth + 1 {
		deep = []any{deep}
	}
	for want, fields := range map[string]map[string]any{
		"accesslog: a.b[1]: FOO at byte 1: not an operator that is supported; there are " + list(commands): {"a": map[string]any{"b": []any{"", "%FOO%"}}},
		"accesslog: a" + strings.Repeat("[0]", maxDepth) + ": nested more than 16 deep":                    {"a": deep},
		"accesslog: a: a struct {} cannot be logged":                                                       {"a": struct{}{}},
		"accesslog: a: a format has at most 65536 bytes":                                                   {"a": strings.Repeat("a", maxText)},
	} {
		if _, err := ParseJSON(fields, Options{}); err == nil || err.Error() != want {
			t.Errorf("want %s, got %v", want, err)
		}
	}
}

// TestDefaultText must parse: that it does is taken for granted where no format is given.
func TestDefaultText(t *testing.T) {
	if _, err := Parse(DefaultText, Options{}); err != nil {
		t.Error(err)
	}
}

// FuzzParse must not panic, and what it takes must not grow.
func FuzzParse(f *testing.F) {
	for _, s := range []string{DefaultText, "%REQ(a?b):3%", "%START_TIME(%Y-%m-%dT%H:%M:%E3SZ)%", "%%", "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:ns)%", "%(%):%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		format, err := Parse(s, Options{})
		if (format == nil) == (err == nil) {
			t.Errorf("%v with %v", format, err)
		}
		if format != nil && len(format.ops) > len(s) {
			t.Errorf("%d operators of %d bytes", len(format.ops), len(s))
		}
		object, err := ParseJSON(map[string]any{s: s}, Options{})
		if (object == nil) == (err == nil) {
			t.Errorf("%v with %v", object, err)
		}
	})
}
