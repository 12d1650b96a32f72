package control

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/test/kube"
)

// services is how many BenchmarkReadingAMesh has, each with four Pods, their slice, a VirtualService and a DestinationRule.
const services = 1000

// townService is one of them, as files and an API server have it.
func townService(i int) string {
	name := fmt.Sprintf("s%04d", i)
	var b strings.Builder
	fmt.Fprintf(&b, `
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: town, labels: {app: %[1]s}}
spec: {clusterIP: 10.96.%[2]d.%[3]d, selector: {app: %[1]s}, ports: [{name: http, port: 80, targetPort: 8080, appProtocol: http}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: %[1]s, namespace: town}
spec:
  host: %[1]s
  trafficPolicy: {connectionPool: {tcp: {maxConnections: 100}}}
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %[1]s, namespace: town}
spec:
  hosts: [%[1]s]
  http:
  - route:
    - {destination: {host: %[1]s, subset: v1}, weight: 90}
    - {destination: {host: %[1]s, subset: v2}, weight: 10}
`, name, 8+i/250, 1+i%250)
	var endpoints []string
	for k := range 4 {
		address := fmt.Sprintf("10.%d.%d.%d", 1+i/250, i%250, 1+k)
		endpoints = append(endpoints, fmt.Sprintf("{addresses: [%s], conditions: {ready: true, serving: true}, nodeName: n%d, targetRef: {kind: Pod, namespace: town, name: %s-%d}}", address, k, name, k))
		fmt.Fprintf(&b, `---
apiVersion: v1
kind: Pod
metadata:
  name: %[1]s-%[2]d
  namespace: town
  labels: {app: %[1]s, version: v%[3]d, pod-template-hash: 7c9b8d6f5, security.istio.io/tlsMode: istio, service.istio.io/canonical-name: %[1]s}
  annotations: {prometheus.io/port: "15020"}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: %[1]s-v%[3]d, uid: 6c1a2f0e-9c1b-4f1e-8d7a-000000000000, controller: true}]
spec:
  serviceAccountName: %[1]s
  nodeName: n%[2]d
  containers:
  - name: app
    image: registry.example.com/%[1]s:1.2.3
    ports: [{name: http, containerPort: 8080}]
    env: [{name: A, value: b}, {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
    resources: {limits: {cpu: "1", memory: 1Gi}, requests: {cpu: 100m, memory: 100Mi}}
    readinessProbe: {httpGet: {path: /ready, port: 8080}}
    volumeMounts: [{name: scratch, mountPath: /scratch}]
  volumes: [{name: scratch, emptyDir: {}}]
status: {phase: Running, podIP: %[4]s, podIPs: [{ip: %[4]s}], conditions: [{type: Ready, status: "True"}]}
`, name, k, 1+k%2, address)
	}
	fmt.Fprintf(&b, `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s-x, namespace: town, labels: {kubernetes.io/service-name: %[1]s, app: %[1]s}}
addressType: IPv4
endpoints: [%[2]s]
ports: [{name: http, port: 8080, protocol: TCP}]
`, name, strings.Join(endpoints, ", "))
	return b.String()
}

// What reading a mesh costs weftd, from each source: the time until it is ready, its processor, and what it keeps.
func BenchmarkReadingAMesh(b *testing.B) {
	for _, from := range sources {
		b.Run(strings.ReplaceAll(from, " ", "-"), func(b *testing.B) {
			p := newPlaneOf(b, from, nil)
			p.kill()
			p.town()
			b.ResetTimer()
			var cpu, ready time.Duration
			resident := 0
			for range b.N {
				began := time.Now()
				p.start()
				ready += time.Since(began)
				eventually(b, "all is read", func() bool { return p.status().Objects["Pod"] == 4*services })
				time.Sleep(2 * time.Second) // until what has been left behind is given back
				c, r := p.spent()
				cpu, resident = cpu+c, resident+r
				p.kill()
			}
			b.ReportMetric(float64(ready.Milliseconds())/float64(b.N), "ms-to-ready")
			b.ReportMetric(float64(cpu.Milliseconds())/float64(b.N), "ms-CPU")
			b.ReportMetric(float64(resident)/float64(b.N)/1e6, "MB-resident")
		})
	}
}

// town has a plane's source have all services.
func (p *plane) town() {
	var all sync.WaitGroup
	const writers = 4
	for w := range writers {
		all.Go(func() {
			for i := w; i < services; i += writers {
				if p.cluster == nil {
					p.write(fmt.Sprintf("s%04d.yaml", i), townService(i))
				} else {
					applyTown(p.cluster, i)
				}
			}
		})
	}
	all.Wait()
}

// applyTown has an API server have one of the services, and its Pods run.
func applyTown(c *kube.Cluster, i int) {
	text := townService(i)
	c.Apply(text)
	for one := range strings.SplitSeq(text, "\n---") {
		if strings.Contains(one, "kind: Pod\n") {
			c.ApplyStatus(one)
		}
	}
}

// What a second cluster costs weftd, which has the same services as the first, for discovery only: the time until all of it is told, its processor, and what it keeps beside; and until a change of one of its endpoints is told.
func BenchmarkAttachingACluster(b *testing.B) {
	p := newPlaneOf(b, sources[1], nil)
	p.town()
	east := &plane{t: b, cluster: kube.Start(b)}
	east.cluster.Install()
	east.town()
	p.kill()
	p.start()
	eventually(b, "all is read", func() bool { return p.status().Objects["Pod"] == 4*services })
	time.Sleep(2 * time.Second) // until what has been left behind is given back
	b.ResetTimer()
	var cpu, told, change time.Duration
	resident := 0
	for range b.N {
		c, r := p.spent()
		began := time.Now()
		p.cluster.Apply(attaches("east", east.cluster.Portable()))
		eventually(b, "it is told", func() bool { return p.following()["east"].Told })
		told += time.Since(began)
		round := p.status().Last.Number
		began = time.Now()
		east.cluster.Delete("{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s0000-x, namespace: town}}")
		eventually(b, "an endpoint is told", func() bool { return p.status().Last.Number > round })
		change += time.Since(began)
		time.Sleep(2 * time.Second)
		c2, r2 := p.spent()
		cpu, resident = cpu+c2-c, resident+r2-r
		p.cluster.Delete("{apiVersion: v1, kind: Secret, metadata: {name: istio-remote-secret-east, namespace: istio-system}}")
		eventually(b, "it is detached", func() bool { return len(p.following()) == 1 })
		applyTown(east.cluster, 0)
	}
	b.ReportMetric(float64(told.Milliseconds())/float64(b.N), "ms-to-told")
	b.ReportMetric(float64(change.Milliseconds())/float64(b.N), "ms-to-a-change")
	b.ReportMetric(float64(cpu.Milliseconds())/float64(b.N), "ms-CPU")
	b.ReportMetric(float64(resident)/float64(b.N)/1e6, "MB-resident")
}

// spent is the processor's time that a process has had, and the bytes that it keeps.
func (p *process) spent() (cpu time.Duration, resident int) {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest) // from the third on (proc(5))
	if len(fields) < 22 {
		return 0, 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	pages, _ := strconv.Atoi(fields[21])
	return time.Duration(user+system) * 10 * time.Millisecond, pages * os.Getpagesize()
}
