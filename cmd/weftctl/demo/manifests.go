package demo

import (
	"fmt"
	"strings"

	"github.com/weftmesh/weft/ground"
)

const (
	namespace = "demo"
	helloVIP  = "10.77.1.10"
	gatewayAt = 8080 // port of the gateway
	host      = "hello.demo.svc.cluster.local"
)

// pod is a workload as the mesh knows it.
type pod struct {
	name, app, version, account string
	*ground.Plot
}

// world is what there is to begin with: what Kubernetes would tell.
func world(pods []pod) string {
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
  ports: [{name: http, port: 80, targetPort: %d}]
`, namespace, helloVIP, helloPort)
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
`, namespace, helloPort, strings.Join(endpoints, "\n"))
	return b.String()
}

// versions names the two, and the gateway's door.
const versions = `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: hello, namespace: demo}
spec:
  host: hello
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door, namespace: demo}
spec:
  selector: {app: gateway}
  servers:
  - {port: {number: 8080, name: http, protocol: HTTP}, hosts: [hello.example]}
`

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
