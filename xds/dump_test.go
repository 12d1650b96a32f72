package xds

import (
	"bytes"
	"errors"
	nethttp "net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"

	"github.com/weftmesh/weft/test/envoy"
)

// dumpWorld is taken by both Envoy and this program.
func dumpWorld(t *testing.T) string {
	text := liveWorld(t)
	lua := strings.Index(text, "  - {name: lua,")
	end := strings.Index(text[lua:], "\n") + lua + 1
	text = text[:lua] + text[end:]
	return strings.ReplaceAll(strings.ReplaceAll(text, "lds.yaml", "lds-good.yaml"), "cds.yaml", "cds-good.yaml")
}

// shapeOf is what a dump has, without what differs between two processes.
func shapeOf(t *testing.T, text []byte) (shape []string) {
	t.Helper()
	var d adminv3.ConfigDump
	if err := protojson.Unmarshal(text, &d); err != nil { // strictly: istioctl does so, too
		t.Fatalf("%v\n%s", err, text)
	}
	for _, c := range d.Configs {
		m, err := c.UnmarshalNew()
		if err != nil {
			t.Fatal(err)
		}
		kind := short(string(c.MessageName()))
		switch m := m.(type) {
		case *adminv3.EcdsConfigDump: // that we have none of
			continue
		case *adminv3.ClustersConfigDump:
			for range m.StaticClusters {
				kind += " s"
			}
			for range m.DynamicActiveClusters {
				kind += " d"
			}
		case *adminv3.ListenersConfigDump:
			for range m.StaticListeners {
				kind += " s"
			}
			for range m.DynamicListeners {
				kind += " d"
			}
		case *adminv3.ClustersConfigDump_DynamicCluster:
			kind += " " + m.VersionInfo + " " + string(bytes.ToValidUTF8(m.GetCluster().GetValue(), nil))
		}
		shape = append(shape, kind)
	}
	return shape
}

// TestDumpIsEnvoys asks both with the same queries.
func TestDumpIsEnvoys(t *testing.T) {
	text := dumpWorld(t)
	admin := "http://" + envoy.Start(t, text)
	path := write(t, text, "")
	boot, err := ReadBootstrap(Source{Path: path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(boot, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, query := range []string{"", "include_eds", "mask=static_listeners", "mask=bootstrap.node.id", "mask=dynamic_listeners,version_info", "mask=nonsense", "resource=bootstrap", "resource=nonsense",
		"resource=version_info", "resource=dynamic_active_clusters", "resource=dynamic_active_clusters&mask=cluster.name", "resource=dynamic_active_clusters&mask=cluster.nonsense", "resource=static_clusters&mask=cluster.name,last_updated",
		"resource=static_clusters&name_regex=up", "resource=static_clusters&name_regex=nobody", "resource=static_listeners&mask=listener.address", "resource=static_clusters&mask=cluster.load_assignment.endpoints", "name_regex=eds", "mask="} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		var ours bytes.Buffer
		status := 200
		if err := f.Dump(&ours, boot, values); err != nil {
			status = 400
			if own := (interface{ Status() int })(nil); errors.As(err, &own) {
				status = own.Status()
			}
		}
		r, err := nethttp.Get(admin + "/config_dump?" + query)
		if err != nil {
			t.Fatal(err)
		}
		var theirs bytes.Buffer
		theirs.ReadFrom(r.Body)
		r.Body.Close()
		if status != r.StatusCode {
			t.Errorf("%s: status %d, and Envoy's %d: %.200s", query, status, r.StatusCode, theirs.Bytes())
			continue
		}
		if status == 200 {
			if a, b := shapeOf(t, ours.Bytes()), shapeOf(t, theirs.Bytes()); !slices.Equal(a, b) {
				t.Errorf("%s:\n%q\nEnvoy:\n%q", query, a, b)
			}
		}
	}
	// What Envoy does not do: go on below what is no element.
	var ours bytes.Buffer
	if err := f.Dump(&ours, boot, url.Values{"mask": {"dynamic_listeners.active_state.listener.name"}}); err != nil || bytes.Contains(ours.Bytes(), []byte("filter_chains")) || !bytes.Contains(ours.Bytes(), []byte(`"byname"`)) {
		t.Errorf("%v %s", err, ours.Bytes())
	}
}
