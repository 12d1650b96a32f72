// Package load reports to a control plane how much clusters are asked, as Envoy's load reporting service has it. It reads numbers that are
// counted anyway, and tells what they have grown by; it counts nothing itself, and knows no cluster but by its name.
package load
