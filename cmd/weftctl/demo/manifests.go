package demo

import (
	"fmt"
	"strings"

	"github.com/weftmesh/weft/ground"
)

const (
	namespace = "demo"
	helloVIP  = "10.77.1.10"
	host      = "hello.demo.svc.cluster.local"
)

// pod is a workload as the mesh knows it.
type pod struct {
	name, app, version, account string
	*ground.Plot
	ports  ports
	serves string // where its application listens; empty: it has none that does
}

// world is what there is to begin with: what Kubernetes would tell.
func world(pods []pod, at layout) string {
	var b strings.Builder
	fmt.Fprintf(&b, `apiVersion: v1
kind: Namespace
metadata: {name: %s}
---
apiVersion: v1
kind: Service
metadata: {name: hello, namespace: %[1]s}
spec:
  clusterIP: %s
  selector: {app: hello}
  ports: [{name: http, port: %d, targetPort: %d}]
`, namespace, helloVIP, at.service, at.hello)
	var endpoints []string
	for _, p := range pods {
		fmt.Fprintf(&b, `---
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s, labels: {app: %s, version: %s, security.istio.io/tlsMode: istio}}
spec: {serviceAccountName: %s, nodeName: here}
status: {podIP: %s, phase: Running}
`, p.name, namespace, p.app, p.version, p.account, p.IP)
		if p.app == "hello" {
			endpoints = append(endpoints, fmt.Sprintf("- {addresses: [%s], conditions: {ready: true}, targetRef: {kind: Pod, name: %s, namespace: %s}}", p.IP, p.name, namespace))
		}
	}
	fmt.Fprintf(&b, `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: hello, namespace: %s, labels: {kubernetes.io/service-name: hello}}
addressType: IPv4
ports: [{name: http, port: %d}]
endpoints:
%s
`, namespace, at.hello, strings.Join(endpoints, "\n"))
	return b.String()
}

// ingress has the sidecars of hello listen where nobody redirects anything to them, and pass that on to their applications.
func ingress(pods []pod, at layout) string {
	var b strings.Builder
	for _, p := range pods {
		if p.app == "hello" {
			fmt.Fprintf(&b, `---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: %s, namespace: %s}
spec:
  workloadSelector: {labels: {app: %s, version: %s}}
  ingress: [{port: {number: %d, name: http, protocol: HTTP}, bind: %s, captureMode: NONE, defaultEndpoint: "%s"}]
  egress: [{hosts: ["~/*"]}]
`, p.name, namespace, p.app, p.version, at.hello, p.IP, p.serves)
		}
	}
	return b.String()
}

// versions names the two.
const versions = `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: hello, namespace: demo}
spec:
  host: hello
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
`

// door is the gateway's, at its own address alone.
func door(gateway pod, port int) string {
	return fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door, namespace: %s}
spec:
  selector: {app: gateway}
  servers:
  - {port: {number: %d, name: http, protocol: HTTP}, bind: %s, hosts: [hello.example]}
`, namespace, port, gateway.IP)
}

// split sends so much to each version.
func split(w weights) string {
	return fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: hello, namespace: demo}
spec:
  hosts: [hello, hello.example]
  gateways: [mesh, door]
  http:
  - route:
    - {destination: {host: hello, subset: v1}, weight: %d}
    - {destination: {host: hello, subset: v2}, weight: %d}
`, w.v1, w.v2)
}

// strict refuses plain text.
const strict = `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: demo}
spec:
  mtls: {mode: STRICT}
`

// readOnly has one identity read and not write.
const readOnly = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: read-only, namespace: demo}
spec:
  selector: {matchLabels: {app: hello}}
  action: DENY
  rules:
  - from: [{source: {principals: [cluster.local/ns/demo/sa/sleep]}}]
    to: [{operation: {methods: [POST, PUT, DELETE]}}]
`

// resilient sends to whoever is well, and tries another one before anybody hears of a failure.
const resilient = `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: hello, namespace: demo}
spec:
  host: hello
  trafficPolicy:
    outlierDetection: {consecutive5xxErrors: 2, consecutiveGatewayErrors: 2, interval: 1s, baseEjectionTime: 60s, maxEjectionPercent: 50}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: hello, namespace: demo}
spec:
  hosts: [hello, hello.example]
  gateways: [mesh, door]
  http:
  - route:
    - destination: {host: hello}
    retries: {attempts: 3, retryOn: "connect-failure,refused-stream,reset,gateway-error"}
`
