package inject

import (
	"encoding/json"
	"strconv"
	"strings"
)

// Where Prometheus looks is said by annotations of the pod. The agent serves the application's metrics with the sidecar's, so that Prometheus is sent to the agent,
// and the agent to where the pod has said. Prometheus takes any sign but letters and digits in their names for the same.

var scrapeNames = []string{"prometheus_io_scrape", "prometheus_io_port", "prometheus_io_path"}

// mergeMetrics changes those annotations, and notes what the agent is told of them.
func (b *build) mergeMetrics(annotations object) {
	config := b.world.Config.GetEnablePrometheusMerge()
	if !or(b.set.MergeMetrics, config == nil || config.GetValue()) || b.statusPort == 0 {
		return
	}
	said := map[string]string{} // by the part behind prometheus_io_
	var keys []string
	for _, key := range sortedKeys(b.pod.Metadata.Annotations) {
		plain := strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
				return r
			}
			return '_'
		}, key)
		for _, name := range scrapeNames {
			if plain == name {
				said[strings.TrimPrefix(name, "prometheus_io_")] = b.pod.Metadata.Annotations[key]
				keys = append(keys, key)
			}
		}
	}
	if scrape, err := strconv.ParseBool(said["scrape"]); err == nil && !scrape {
		return
	}
	port := number(b.statusPort)
	if said["port"] == port { // somebody has done so already
		return
	}
	if len(said) > 0 {
		text, err := json.Marshal(struct {
			Scrape string `json:"scrape"`
			Path   string `json:"path"`
			Port   string `json:"port"`
		}{said["scrape"], said["path"], said["port"]})
		if err != nil {
			panic("inject: " + err.Error()) // they are words
		}
		b.scrape = string(text)
	}
	for _, key := range keys {
		delete(annotations, key)
	}
	annotations["prometheus.io/scrape"], annotations["prometheus.io/port"], annotations["prometheus.io/path"] = "true", port, "/stats/prometheus"
}
