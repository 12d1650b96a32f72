package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/template"
	"time"
)

// machine is what a host is told: what becomes of it is pure, and in goldens.
type machine struct {
	Group, Namespace, Account string // without a group it registers itself nowhere
	Domain                    string // of trust
	Address                   string // empty: the first of the host
	Plane                     string // HOST:PORT
	Network, Locality         string
	Labels                    map[string]string
	Probe                     json.RawMessage // as the group says it
	Capture                   bool
	Exclude                   string // ports whose inbound connections are not captured, separated by commas
	Life                      time.Duration
	Made                      time.Time
}

// Whom the sidecar is run as: what this user sends is not captured.
const machineUser = 1337

// What the kernel never takes from the ports of the agent itself.
const agentPorts = "15090,15021,15020"

// machineFile is one file for a host.
type machineFile struct {
	name, text string
	mode       uint32
}

// files are those that say nothing secret.
func (m *machine) files() []machineFile {
	return []machineFile{
		{"weft.service", filled(unitText, m), 0o644},
		{"weft.env", m.environment(), 0o644},
		{"README.txt", filled(readmeText, m), 0o644},
	}
}

// Who is how people call it.
func (m *machine) Who() string {
	if m.Group != "" {
		return "the WorkloadGroup " + m.Namespace + "/" + m.Group
	}
	return "the service account " + m.Namespace + "/" + m.Account
}

// Until is when the token has ended.
func (m *machine) Until() string { return m.Made.Add(m.Life).UTC().Format("2006-01-02 15:04:05 UTC") }

// User is machineUser.
func (m *machine) User() int { return machineUser }

// environment is a file of systemd's EnvironmentFile: variables of weft sidecar and of weft capture.
func (m *machine) environment() string {
	var b strings.Builder
	say := func(about string, pairs ...string) {
		fmt.Fprintf(&b, "\n# %s\n", about)
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i+1] != "" {
				fmt.Fprintf(&b, "%s=%s\n", pairs[i], quoted(pairs[i+1]))
			}
		}
	}
	b.WriteString("# What weft.service is told. weft sidecar --help has the variables; systemctl restart weft has a change count.\n")
	say("Whom it asks.",
		"WEFT_DISCOVERY", m.Plane, "ISTIOD_SAN", planeName, "XDS_ROOT_CA", "/etc/weft/roots.pem", "CA_ROOT_CA", "/etc/weft/roots.pem")
	say("By what it joins, once, and where it keeps what it gets for that.", "WEFT_JOIN_TOKEN_FILE", "/etc/weft/token", "OUTPUT_CERTS", "/var/lib/weft")
	labels := map[string]string{}
	for name, value := range m.Labels {
		labels[name] = value
	}
	if m.Locality != "" {
		labels["istio-locality"] = m.Locality
	}
	say("Who it is.", "POD_NAMESPACE", m.Namespace, "SERVICE_ACCOUNT", m.Account, "TRUST_DOMAIN", m.Domain, "ISTIO_META_AUTO_REGISTER_GROUP", m.Group, "INSTANCE_IP", m.Address,
		"ISTIO_META_NETWORK", m.Network, "ISTIO_METAJSON_LABELS", asJSON(labels, len(labels) == 0))
	if len(m.Probe) > 0 {
		say("Whether its workload is well.", "PROXY_CONFIG", asJSON(map[string]json.RawMessage{"readinessProbe": m.Probe}, false))
	}
	if !m.Capture {
		say("Nobody brings traffic to it.", "ISTIO_META_INTERCEPTION_MODE", "NONE")
		return b.String()
	}
	say("What the kernel brings to it: all that the host's programs send, questions for names too, and all that comes to it but to these ports.", "ISTIO_META_INTERCEPTION_MODE", "REDIRECT", "ISTIO_META_DNS_CAPTURE", "true",
		"ISTIO_SERVICE_CIDR", "*", "ISTIO_INBOUND_PORTS", "*", "ISTIO_LOCAL_EXCLUDE_PORTS", strings.Trim(m.Exclude+","+agentPorts, ","))
	return b.String()
}

// asJSON is one line without a quotation mark of the kind that it stands in.
func asJSON(v any, none bool) string {
	if none {
		return ""
	}
	b, _ := json.Marshal(v) // maps of texts, and what was JSON
	return strings.ReplaceAll(string(b), "'", `\u0027`)
}

// quoted is a value that systemd reads as a shell does: as it is, or with nothing in it that means something.
func quoted(value string) string {
	if strings.ContainsFunc(value, func(r rune) bool {
		return !strings.ContainsRune("/.:,-_[]", r) && (r < '0' || r > 'z' || r > '9' && r < 'A' || r > 'Z' && r < 'a')
	}) {
		return "'" + value + "'"
	}
	return value
}

func filled(text string, m *machine) string {
	var b strings.Builder
	if err := template.Must(template.New("").Parse(text)).Execute(&b, m); err != nil {
		panic(err) // of a text of ours
	}
	return b.String()
}

// unitText: what captures is run with all rights (+), the sidecar with none but to bind ports below 1024. What is captured stays so when the sidecar has failed, until it is there again: nothing goes past it in plain text
// meanwhile. It is taken away by a stop that was asked for, when all is drained.
const unitText = `# weft.service: the sidecar of {{.Who}} on this host. Made by weftctl vm.
[Unit]
Description=Weft, the sidecar of {{.Who}}
Wants=network-online.target
After=network-online.target
# It is tried again for ever.
StartLimitIntervalSec=0

[Service]
Type=exec
User=weft
Group=weft
EnvironmentFile=/etc/weft/weft.env
StateDirectory=weft
StateDirectoryMode=0700
WorkingDirectory=/var/lib/weft
{{- if .Capture}}
ExecStartPre=+/usr/local/bin/weft capture apply
{{- end}}
ExecStart=/usr/local/bin/weft sidecar
# Units that come after this one are started when it is ready; without a control plane a minute later.
ExecStartPost=-/usr/local/bin/weft pilot-agent wait --timeoutSeconds 60
{{- if .Capture}}
# Only when it was stopped in good order: after a failure nothing may go past it.
ExecStopPost=+/bin/sh -c '[ "$$SERVICE_RESULT" != success ] || exec /usr/local/bin/weft capture clean'
{{- end}}
Restart=on-failure
RestartSec=1s
# SIGTERM, for the sidecar alone, has it drain for terminationDrainDuration (5 s): this has to be longer.
KillMode=mixed
TimeoutStopSec=30s
LimitNOFILE=1048576
UMask=0077
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
`

const readmeText = `This host becomes one of {{.Who}}.

The token is good once, and until {{.Until}}. Bring this folder to the host by a way that nobody else reads,
and the program weft with it, and there, in this folder, as root:

  useradd --system --uid {{.User}} --user-group --no-create-home --home-dir /var/lib/weft --shell /usr/sbin/nologin weft
  install -m 0755 weft /usr/local/bin/ && install -d /etc/weft && install -m 0644 weft.env roots.pem /etc/weft/ && install -m 0600 -o weft -g weft token /etc/weft/ && install -m 0644 weft.service /etc/systemd/system/
  systemctl daemon-reload && systemctl enable --now weft

See how it does:

  systemctl status weft; journalctl -u weft
  weft pilot-agent wait --timeoutSeconds 5
{{- if .Capture}}
  weft capture check -i '*' -b '*' -d {{with .Exclude}}{{.}},{{end}}15090,15021,15020 --redirect-dns

All that this host sends and all that comes to it goes by the sidecar then{{with .Exclude}}, but what comes to port {{.}}{{end}}: ISTIO_LOCAL_EXCLUDE_PORTS in weft.env has the ports.
If it fails, nothing goes past it until it is there again. Out of the mesh, in plain text, and back:

  systemctl stop weft
  systemctl start weft
{{- else}}

Nothing is captured: who is to go by the sidecar has to be told its ports, which the mesh's objects say.
{{- end}}

The unit of the application has Wants=weft.service and After=weft.service, so that it is started when the sidecar is ready.
When weftd's root is replaced, /etc/weft/roots.pem has to have the new one before it signs: weftctl ca roots prints all.
`
