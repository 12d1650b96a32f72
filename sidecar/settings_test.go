package sidecar

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what comes out into the files of testdata")

// pod is the environment of a container that injection has put into a pod.
func pod(more ...string) map[string]string {
	env := map[string]string{
		"POD_NAME": "web-7d9f-abcde", "POD_NAMESPACE": "shop", "SERVICE_ACCOUNT": "web", "INSTANCE_IP": "10.1.2.3", "HOST_IP": "10.0.0.1", "TRUST_DOMAIN": "cluster.local", "ISTIO_CPU_LIMIT": "2",
		"PILOT_CERT_PROVIDER": "istiod", "CA_ADDR": "weftd.istio-system.svc:15012", "PROXY_CONFIG": `{"discoveryAddress":"weftd.istio-system.svc:15012","terminationDrainDuration":"7s"}`,
		"ISTIO_META_CLUSTER_ID": "home", "ISTIO_META_INTERCEPTION_MODE": "REDIRECT", "ISTIO_META_WORKLOAD_NAME": "web", "ISTIO_META_MESH_ID": "cluster.local",
		"ISTIO_META_APP_CONTAINERS": "app", "ISTIO_META_POD_PORTS": `[{"name":"http","containerPort":8080}]`,
	}
	for i := 0; i < len(more); i += 2 {
		env[more[i]] = more[i+1]
	}
	return env
}

// in has a test run in a folder of its own, which has these files.
func in(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for path, text := range files {
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.WriteFile(path, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// The bootstrap of a pod, of a gateway and of a host: what nodes say, whom they speak to, and what they show.
func TestBootstrap(t *testing.T) {
	mounted := map[string]string{
		boundToken: "token", meshRoots: "roots",
		podLabels:      "app=\"web\"\nistio-locality=\"r1.z1.s1\"\npod-template-hash=\"7d9f\"\n",
		podAnnotations: "sidecar.istio.io/statsInclusionPrefixes=\"http.{pod_ip}_,cluster.outbound\"\nsidecar.istio.io/extraStatTags=\"tag\"\nsidecar.istio.io/statsHistogramBuckets=\"{\\\"istio\\\":[1,10]}\"\nnote=\"two\\nlines\"\n",
	}
	for name, c := range map[string]struct {
		role  Role
		env   map[string]string
		files map[string]string
	}{
		"pod":     {Sidecar, pod(), mounted},
		"gateway": {Router, pod("ISTIO_META_INTERCEPTION_MODE", "", "PROXY_CONFIG", `{"discoveryAddress":"10.9.9.9:15012","runtimeValues":{"a.b":"true","envoy.reloadable_features.http_reject_path_with_fragment":""},"proxyStatsMatcher":{"inclusionRegexps":["http.*"]}}`), map[string]string{boundToken: "token", meshRoots: "roots", credentialsDoor: ""}},
		"host": {Sidecar, map[string]string{"WEFT_DISCOVERY": "127.0.0.1:15012", "XDS_ROOT_CA": "SYSTEM", "WEFT_JOIN_TOKEN": "weft-join-x", "POD_NAMESPACE": "shop", "SERVICE_ACCOUNT": "web", "POD_NAME": "vm", "INSTANCE_IP": "fd00::1",
			"ISTIO_METAJSON_LABELS": `{"app":"web"}`, "ISTIO_META_AUTO_REGISTER_GROUP": "vm", "PROXY_CONFIG": "proxyAdminPort: 15010\nstatusPort: 0\n"}, nil},
		"plain": {Sidecar, pod("CA_ADDR", "", "PROXY_CONFIG", `{"discoveryAddress":"weftd:15010","controlPlaneAuthPolicy":"NONE"}`), nil},
	} {
		golden, err := filepath.Abs(filepath.Join("testdata", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			in(t, c.files)
			s, said, err := Read(c.role, c.env, "")
			if err != nil || len(said) > 0 {
				t.Fatal(err, said)
			}
			s.Addresses = s.Addresses[:1] // the others are those of this host
			s.node["INSTANCE_IPS"] = s.Addresses[0]
			text, err := s.Bootstrap()
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			json.Indent(&out, text, "", " ")
			out.WriteString("\n")
			if *update {
				if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || !bytes.Equal(want, out.Bytes()) {
				t.Errorf("%v: the bootstrap is another one than in %s (-update writes it):\n%s", err, filepath.Base(golden), out.Bytes())
			}
		})
	}
}

// What is said in other words than Istio's agent takes is refused, with what would be right.
func TestSettingsThatAreRefused(t *testing.T) {
	in(t, map[string]string{boundToken: "token"})
	for name, c := range map[string][2]string{
		"INSTANCE_IP":                      {"web", "want an address"},
		"PROXY_CONFIG":                     {"{", "neither JSON nor YAML"},
		"PILOT_CERT_PROVIDER":              {"vault", "want istiod, custom or system"},
		"CA_PROVIDER":                      {"GoogleCA", "want Citadel"},
		"CA_ADDR":                          {"weftd", "want HOST:PORT"},
		"JWT_POLICY":                       {"none", "want third-party-jwt or first-party-jwt"},
		"WORKLOAD_RSA_KEY_SIZE":            {"1024", "want a number from 2048 to 4096"},
		"ECC_SIGNATURE_ALGORITHM":          {"Ed25519", "want ECDSA"},
		"ECC_CURVE":                        {"P521", "want P256 or P384"},
		"SECRET_TTL":                       {"a day", "want a duration"},
		"SECRET_GRACE_PERIOD_RATIO":        {"2", "want a number from 0 to 1"},
		"PKCS8_KEY":                        {"maybe", "want true or false"},
		"ENVOY_STATUS_PORT":                {"70000", "want a number from 0 to 65535"},
		"WORKLOAD_IDENTITY_SOCKET_FILE":    {"../socket", "want a name in"},
		"WEFT_JOIN_TOKEN":                  {"weft-join-x", "want one of the two"},
		"DNS_PROXY_ADDR":                   {"here", "want HOST:PORT"},
		"ISTIO_METAJSON_X":                 {"[", "no JSON object"},
		"SECRET_GRACE_PERIOD_RATIO_JITTER": {"-1", "want a number from 0 to 1"},
		"MINIMUM_DRAIN_DURATION":           {"-1s", "want a duration"},
	} {
		_, _, err := Read(Sidecar, pod(name, c[0], "ISTIO_META_DNS_CAPTURE", "true"), "")
		if err == nil || !strings.Contains(err.Error(), c[1]) || !strings.Contains(err.Error(), name) && name != "INSTANCE_IP" && name != "CA_ADDR" && name != "WEFT_JOIN_TOKEN" {
			t.Errorf("%s=%s: %v, want %q", name, c[0], err, c[1])
		}
	}
	for text, want := range map[string]string{
		`{"controlPlaneAuthPolicy": "TLS"}`: "want MUTUAL_TLS or NONE", `{"statusPort": 70000}`: "want a port", `{"drainDuration": "long"}`: "no duration", `{"concurrency": "many"}`: "cannot unmarshal",
	} {
		if _, _, err := Read(Sidecar, pod("PROXY_CONFIG", text), ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// What is set and does nothing is said, and what is harmless is not.
func TestWhatDoesNothingIsSaid(t *testing.T) {
	in(t, nil)
	_, said, err := Read(Sidecar, pod("DISABLE_ENVOY", "true", "WASM_MODULE_EXPIRY", "1h", "ENVOY_SKIP_DEPRECATED_LOGS", "true", "PROXY_CONFIG_XDS_AGENT", "false",
		"PROXY_CONFIG", `{"tracing":{"zipkin":{"address":"a:1"}},"binaryPath":"/usr/local/bin/envoy","holdApplicationUntilProxyStarts":true,"colour":"red"}`), "")
	want := []string{"PROXY_CONFIG colour", "PROXY_CONFIG tracing", "DISABLE_ENVOY", "WASM_MODULE_EXPIRY"}
	if err != nil || len(said) != len(want) {
		t.Fatalf("%v, %q: want %q", err, said, want)
	}
	for i, one := range want {
		if !strings.HasPrefix(said[i], one+": ") {
			t.Errorf("%q: want it about %s", said[i], one)
		}
	}
}

// Where the identity comes from: what others serve or write counts, and then tokens.
func TestWhereIdentitiesComeFrom(t *testing.T) {
	for name, c := range map[string]struct {
		env   map[string]string
		files map[string]string
		want  Identity // as far as it is said
	}{
		"the token of an account":   {pod(), map[string]string{boundToken: "t"}, Identity{Token: boundToken}},
		"the API server's own":      {pod("JWT_POLICY", "first-party-jwt"), nil, Identity{Token: kubernetesToken}},
		"files of others":           {pod(), map[string]string{boundToken: "t", identityFiles + "/cert-chain.pem": "c"}, Identity{Token: boundToken, Files: identityFiles}},
		"mounted files":             {pod("FILE_MOUNTED_CERTS", "true"), nil, Identity{Files: mountedCerts}},
		"a named socket":            {pod("WORKLOAD_IDENTITY_SOCKET_FILE", "spire"), nil, Identity{Socket: identityFolder + "/spire"}},
		"a join token":              {pod("WEFT_JOIN_TOKEN_FILE", "join"), map[string]string{"join": "weft-join-x\n"}, Identity{Join: "weft-join-x", Output: mountedCerts}},
		"a join token that is gone": {pod("WEFT_JOIN_TOKEN_FILE", "join", "OUTPUT_CERTS", "out"), nil, Identity{Output: "out"}},
		"a certificate":             {pod("PROV_CERT", "certs"), nil, Identity{Shown: "certs"}},
		"a socket that is left":     {pod(), map[string]string{identitySocket: ""}, Identity{}},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, c.files)
			s, _, err := Read(Sidecar, c.env, "")
			if err != nil {
				t.Fatal(err)
			}
			got := s.Identity
			if is := (Identity{Token: got.Token, Files: got.Files, Socket: got.Socket, Join: got.Join, Output: got.Output, Shown: got.Shown}); is != c.want {
				t.Errorf("%+v, want %+v", is, c.want)
			}
		})
	}
	in(t, map[string]string{identityFolder + "/x": ""})
	l, err := net.Listen("unix", identitySocket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if s, _, err := Read(Sidecar, pod(), ""); err != nil || s.Identity.Socket != identitySocket {
		t.Errorf("%v: somebody serves at the socket, and it does not count", err)
	}
}

// Settings are as they are said, and else as is usual.
func TestSettings(t *testing.T) {
	in(t, map[string]string{boundToken: "t"})
	s, _, err := Read(Sidecar, pod("ISTIO_META_DNS_CAPTURE", "true", "EXIT_ON_ZERO_ACTIVE_CONNECTIONS", "true", "XDS_ROOT_CA", "mine.pem", "ISTIOD_SAN", "plane.test", "SECRET_TTL", "1h"), "cluster.test")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string][2]any{
		"termination": {s.Termination, 7 * time.Second}, "drain": {s.Drain, usualDrain}, "until idle": {s.UntilIdle, true}, "minimum": {s.Minimum, usualMinimum}, "loops": {s.Concurrency, 2},
		"admin": {s.AdminPort, uint16(15000)}, "agent": {s.AgentPort, 15020}, "ready": {s.ReadyPort, 15021}, "prometheus": {s.PrometheusPort, 15090}, "domain": {s.Domain, "cluster.test"},
		"names": {s.Names[0], "127.0.0.1:15053"}, "plane": {s.Discovery, Server{"weftd.istio-system.svc:15012", "plane.test", "mine.pem"}},
		"authority": {s.Identity.CA, Server{"weftd.istio-system.svc:15012", "plane.test", meshRoots}}, "life": {s.Identity.Life, time.Hour}, "grace": {s.Identity.Grace, 0.5},
	} {
		if c[0] != c[1] {
			t.Errorf("%s: %v, want %v", name, c[0], c[1])
		}
	}
	if s, _, err := Read(Router, pod("ISTIO_PROMETHEUS_ANNOTATIONS", `{"scrape":"true"}`, "ISTIO_META_DNS_CAPTURE", "true"), ""); err != nil || s.Scrape != "" || len(s.Names) > 0 {
		t.Errorf("a gateway has %q and %q: want neither (%v)", s.Scrape, s.Names, err)
	}
}

// The guide has each variable, with what becomes of it.
func TestGuideHasEachVariable(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "sidecar.md"))
	if err != nil {
		t.Fatal(err)
	}
	words := map[Use]string{Run: "run", Harmless: "harmless", Unused: "not here"}
	for _, v := range Variables {
		if row := "| `" + v.Name + "` | " + words[v.Use] + " | " + v.What + " |\n"; !strings.Contains(string(text), row) {
			t.Errorf("docs/sidecar.md has no line\n%s", row)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(proxyUnused)) {
		if row := "| `" + name + "` | " + proxyUnused[name] + " |\n"; !strings.Contains(string(text), row) {
			t.Errorf("docs/sidecar.md has no line\n%s", row)
		}
	}
}
