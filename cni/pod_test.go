package cni

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What pods want, by what injection has put into them: ours, Istio's and by hand.
func TestWanted(t *testing.T) {
	const validation = `{"name": "istio-validation", "args": ["istio-iptables", "-p", "15001", "--run-validation"], "env": [{"name": "ISTIO_META_DNS_CAPTURE", "value": "false"}, {"name": "A", "value": "1"}]}`
	for name, one := range map[string]struct {
		pod        string
		args       []string
		env        map[string]string
		not, wrong string
	}{
		"a sidecar": {`{"metadata": {"annotations": {"sidecar.istio.io/status": "{}"}}, "spec": {"containers": [{"name": "istio-proxy", "env": [{"name": "ISTIO_META_DNS_CAPTURE", "value": "true"}, {"name": "POD_NAME"}]}], "initContainers": [` + validation + `]}}`,
			[]string{"-p", "15001", "--run-validation"}, map[string]string{"ISTIO_META_DNS_CAPTURE": "true", "A": "1"}, "", ""},
		"a native one": {`{"metadata": {"annotations": {"sidecar.istio.io/status": "{}"}}, "spec": {"initContainers": [` + validation + `, {"name": "istio-proxy"}]}}`,
			[]string{"-p", "15001", "--run-validation"}, map[string]string{"ISTIO_META_DNS_CAPTURE": "false", "A": "1"}, "", ""},
		"on the node's network": {`{"metadata": {"annotations": {"sidecar.istio.io/status": "{}"}}, "spec": {"hostNetwork": true, "initContainers": [` + validation + `, {"name": "istio-proxy"}]}}`, nil, nil, "its node's network", ""},
		"no annotation":         {`{"spec": {"initContainers": [` + validation + `, {"name": "istio-proxy"}]}}`, nil, nil, "no sidecar", ""},
		"no proxy":              {`{"metadata": {"annotations": {"sidecar.istio.io/status": "{}"}}, "spec": {"initContainers": [` + validation + `]}}`, nil, nil, "no sidecar", ""},
		"captures itself":       {`{"metadata": {"annotations": {"sidecar.istio.io/status": "{}"}}, "spec": {"containers": [{"name": "istio-proxy"}], "initContainers": [{"name": "istio-init"}, ` + validation + `]}}`, nil, nil, "istio-init captures", ""},
		"a gateway":             {`{"metadata": {"annotations": {"sidecar.istio.io/status": "{}"}}, "spec": {"containers": [{"name": "istio-proxy"}]}}`, nil, nil, "no container istio-validation", ""},
		"another program":       {`{"metadata": {"annotations": {"sidecar.istio.io/status": "{}"}}, "spec": {"containers": [{"name": "istio-proxy"}], "initContainers": [{"name": "istio-validation", "args": ["true"]}]}}`, nil, nil, "", "injected anew"},
		"groups by name": {`{"metadata": {"annotations": {"sidecar.istio.io/status": "{}"}}, "spec": {"containers": [{"name": "istio-proxy", "env": [{"name": "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", "value": "1, java"}]}], "initContainers": [` + validation + `]}}`,
			nil, nil, "", `"java": want a group's number`},
	} {
		var p Pod
		if err := json.Unmarshal([]byte(one.pod), &p); err != nil {
			t.Fatal(err)
		}
		w, not, err := p.Wanted()
		switch {
		case one.wrong != "":
			if err == nil || !strings.Contains(err.Error(), one.wrong) {
				t.Errorf("%s: %v", name, err)
			}
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case one.not != "":
			if w != nil || !strings.Contains(not, one.not) {
				t.Errorf("%s: %+v %q", name, w, not)
			}
		case w == nil || !slices.Equal(w.Args, one.args) || len(w.Env) != len(one.env):
			t.Errorf("%s: %+v %q", name, w, not)
		default:
			for key, value := range one.env {
				if w.Env[key] != value {
					t.Errorf("%s: %s is %q", name, key, w.Env[key])
				}
			}
		}
	}
}

// Whose istio-validation has ended because nothing was captured.
func TestUncaptured(t *testing.T) {
	for text, want := range map[string]int{ // -1: it is not such a one
		`{"phase": "Pending", "initContainerStatuses": [{"name": "istio-validation", "restartCount": 3, "state": {"waiting": {}}, "lastState": {"terminated": {"exitCode": 126}}}]}`: 3,
		`{"phase": "Pending", "initContainerStatuses": [{"name": "istio-validation", "state": {"terminated": {"exitCode": 126}}}]}`:                                                  0,
		`{"phase": "Pending", "initContainerStatuses": [{"name": "istio-validation", "state": {"terminated": {"exitCode": 0}}, "lastState": {"terminated": {"exitCode": 126}}}]}`:    -1, // captured since
		`{"phase": "Pending", "initContainerStatuses": [{"name": "istio-validation", "state": {"terminated": {"exitCode": 1}}}]}`:                                                    -1,
		`{"phase": "Pending", "initContainerStatuses": [{"name": "other", "state": {"terminated": {"exitCode": 126}}}]}`:                                                             -1,
		`{"phase": "Failed", "initContainerStatuses": [{"name": "istio-validation", "state": {"terminated": {"exitCode": 126}}}]}`:                                                   -1, // it is not started again
		`{"phase": "Pending"}`: -1,
	} {
		var p Pod
		if err := json.Unmarshal([]byte(text), &p.Status); err != nil {
			t.Fatal(err)
		}
		got, is := p.Uncaptured()
		if !is {
			got = -1
		}
		if got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}

// What cannot be a kubeconfig says so, and what would be right.
func TestReadKubeconfigRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kubeconfig")
	for text, want := range map[string]string{
		"":   "unexpected end",
		"{}": "want one cluster",
		`{"clusters": [{"cluster": {"server": "https://a:1", "certificate-authority-data": "YQ=="}}], "users": [{"user": {"token": "a"}}]}`: "no certificate",
		`{"clusters": [{"cluster": {"server": "https://a:1", "certificate-authority-data": "!"}}], "users": [{"user": {"token": "a"}}]}`:    "illegal base64",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKubeconfig(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "weft node") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
