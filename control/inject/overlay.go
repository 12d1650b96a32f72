package inject

import (
	"maps"
	"reflect"
	"slices"
)

// sameBy are the lists of a container whose items are told apart by a field, as Kubernetes' own patches do; other lists are taken as a whole.
var sameBy = map[string]string{"env": "name", "ports": "containerPort", "volumeMounts": "mountPath", "volumeDevices": "devicePath"}

// overlaid is a container with what its pod says of it over it.
func overlaid(below, above object) object {
	out := maps.Clone(below)
	for _, key := range sortedKeys(above) {
		was, is := out[key]
		now := above[key]
		if !is {
			out[key] = now
			continue
		}
		switch now := now.(type) {
		case object:
			if o, is := was.(object); is {
				out[key] = overlaid(o, now)
				continue
			}
		case []any:
			if l, is := was.([]any); is && sameBy[key] != "" {
				out[key] = overlaidList(l, now, sameBy[key])
				continue
			}
		}
		out[key] = now
	}
	return out
}

func overlaidList(below, above []any, by string) []any {
	out := slices.Clone(below)
	for _, one := range above {
		o, _ := one.(object)
		at := slices.IndexFunc(out, func(was any) bool {
			w, _ := was.(object)
			return o != nil && w != nil && reflect.DeepEqual(w[by], o[by])
		})
		if at < 0 {
			out = append(out, one)
		} else { // of a variable there is a value or where it comes from, so that it is taken as a whole
			out[at] = one
		}
	}
	return out
}
