package console

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weftmesh/weft/control/source"
)

// Switch is a part of the mesh that can be switched off by hand.
type Switch struct {
	Part      string            // Injection, Routing or Workload
	Namespace string            // of what is routed, empty: of everything; or of workloads
	Labels    map[string]string // by which those are chosen
}

// The parts.
const (
	Injection = "injection" // of sidecars into pods
	Routing   = "routing"   // by the VirtualServices of a namespace, or of all, as far as they are for sidecars
	Workload  = "workload"  // that is in the mesh
)

const maxLabels = 8 // that workloads are chosen by

// ReadSwitch reads a name: injection, routing, routing/NAMESPACE, or workload/NAMESPACE/LABEL=VALUE,… in the order of labels.
func ReadSwitch(name string) (s Switch, err error) {
	part, rest, more := strings.Cut(name, "/")
	s.Part = part
	switch {
	case part == Injection && !more, part == Routing && !more:
		return s, nil
	case part == Routing:
		s.Namespace = rest
	case part == Workload:
		namespace, labels, _ := strings.Cut(rest, "/")
		s.Namespace = namespace
		if s.Labels, err = ReadLabels(labels); err != nil {
			return Switch{}, err
		}
	default:
		return Switch{}, fmt.Errorf("nothing is called %.64q that can be switched off: want %s, %s or %s", name, Injection, Routing, Workload)
	}
	if !source.IsName(s.Namespace) {
		return Switch{}, fmt.Errorf("%.64q is no name of a namespace", s.Namespace)
	}
	return s, nil
}

// ReadLabels reads what workloads are chosen by: LABEL=VALUE, and more behind commas.
func ReadLabels(text string) (map[string]string, error) {
	labels := map[string]string{}
	for one := range strings.SplitSeq(text, ",") {
		label, value, is := strings.Cut(one, "=")
		if _, twice := labels[label]; !is || twice || !source.IsLabel(label, value) {
			return nil, fmt.Errorf("which workloads? %.64q is no LABEL=VALUE, or is said twice", one)
		}
		labels[label] = value
	}
	if len(labels) > maxLabels {
		return nil, fmt.Errorf("which workloads? %d labels are more than %d", len(labels), maxLabels)
	}
	return labels, nil
}

// Name is what ReadSwitch reads.
func (s Switch) Name() string {
	switch {
	case s.Part == Workload:
		return s.Part + "/" + s.Namespace + "/" + s.chosen()
	case s.Namespace != "":
		return s.Part + "/" + s.Namespace
	}
	return s.Part
}

// chosen are the labels as they are written.
func (s Switch) chosen() string {
	var all []string
	for _, label := range slices.Sorted(maps.Keys(s.Labels)) {
		all = append(all, label+"="+s.Labels[label])
	}
	return strings.Join(all, ",")
}

// What says what is off, as a sentence begins.
func (s Switch) What() string {
	switch {
	case s.Part == Injection:
		return "injection"
	case s.Part == Workload:
		return fmt.Sprintf("the mesh for workloads %s of %s", s.chosen(), s.Namespace)
	case s.Namespace == "":
		return "routing by VirtualServices in sidecars"
	}
	return "routing by the VirtualServices of " + s.Namespace + " in sidecars"
}

// Mend is the command that switches it on.
func (s Switch) Mend() string {
	switch {
	case s.Part == Workload:
		return fmt.Sprintf("weftctl mend workload -n %s -l %s", s.Namespace, s.chosen())
	case s.Namespace != "":
		return "weftctl mend routing -n " + s.Namespace
	}
	return "weftctl mend " + s.Part
}
