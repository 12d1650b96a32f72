package istiod

import (
	"os"
	"runtime/metrics"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// machine is what this process takes, under the names that Prometheus' own client of Go has for it and dashboards read. What cannot be read is 0.
type machine struct {
	cpu               time.Duration
	resident, virtual float64 // bytes
	descriptors       int
	runtime           map[string]float64
	began             time.Time
}

// runtimeNames are of runtime/metrics, by what dashboards call it.
var runtimeNames = map[string][]string{
	"go_goroutines":                 {"/sched/goroutines:goroutines"},
	"go_memstats_alloc_bytes":       {"/memory/classes/heap/objects:bytes"},
	"go_memstats_heap_alloc_bytes":  {"/memory/classes/heap/objects:bytes"},
	"go_memstats_heap_inuse_bytes":  {"/memory/classes/heap/objects:bytes", "/memory/classes/heap/unused:bytes"},
	"go_memstats_stack_inuse_bytes": {"/memory/classes/heap/stacks:bytes"},
	"go_memstats_alloc_bytes_total": {"/gc/heap/allocs:bytes"},
	"go_memstats_mallocs_total":     {"/gc/heap/allocs:objects"},
}

var began = time.Now()

func readMachine() (m machine) {
	m.began, m.runtime = began, map[string]float64{}
	for name, of := range runtimeNames {
		samples := make([]metrics.Sample, len(of))
		for i := range of {
			samples[i].Name = of[i]
		}
		metrics.Read(samples)
		for _, s := range samples {
			if s.Value.Kind() == metrics.KindUint64 {
				m.runtime[name] += float64(s.Value.Uint64())
			}
		}
	}
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) == nil {
		m.cpu = time.Duration(used.Utime.Nano() + used.Stime.Nano())
	}
	if text, err := os.ReadFile("/proc/self/statm"); err == nil { // pages, of all and of what is in memory (proc(5))
		if words := strings.Fields(string(text)); len(words) > 1 {
			page := float64(os.Getpagesize())
			all, _ := strconv.ParseFloat(words[0], 64)
			in, _ := strconv.ParseFloat(words[1], 64)
			m.virtual, m.resident = all*page, in*page
		}
	}
	if list, err := os.ReadDir("/proc/self/fd"); err == nil {
		m.descriptors = len(list)
	}
	return m
}

// machineFamilies are those numbers.
func machineFamilies() []family {
	of := func(name, kind, help string) family {
		return plain(name, kind, help, func(r *reading) float64 { return r.machine.runtime[name] })
	}
	return []family{
		of("go_goroutines", "gauge", "goroutines"),
		of("go_memstats_alloc_bytes", "gauge", "bytes of objects on the heap"),
		of("go_memstats_heap_alloc_bytes", "gauge", "the same"),
		of("go_memstats_heap_inuse_bytes", "gauge", "bytes of the heap, with what is free between objects"),
		of("go_memstats_stack_inuse_bytes", "gauge", "bytes of stacks"),
		of("go_memstats_alloc_bytes_total", "counter", "bytes that were allocated"),
		of("go_memstats_mallocs_total", "counter", "objects that were allocated"),
		plain("process_cpu_seconds_total", "counter", "seconds of processors", func(r *reading) float64 { return r.machine.cpu.Seconds() }),
		plain("process_resident_memory_bytes", "gauge", "bytes in memory", func(r *reading) float64 { return r.machine.resident }),
		plain("process_virtual_memory_bytes", "gauge", "bytes of addresses", func(r *reading) float64 { return r.machine.virtual }),
		plain("process_open_fds", "gauge", "descriptors", func(r *reading) float64 { return float64(r.machine.descriptors) }),
		plain("process_start_time_seconds", "gauge", "when this process began, in seconds since 1970", func(r *reading) float64 { return float64(r.machine.began.Unix()) }),
	}
}
