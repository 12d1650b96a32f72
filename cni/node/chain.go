package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weftmesh/weft/cni"
)

// Runtimes take the first file by name of these kinds. Those of kept are a single plugin's that a list has taken the place of.
var kinds = []string{".conf", ".conflist", ".json"}

const kept = ".weft-kept"

// maxNetwork bounds, in bytes, what is read of a network's configuration.
const maxNetwork = 1 << 20

// network is a list of plugins. What is not ours in it is kept as it is written.
type network struct {
	fields  map[string]json.RawMessage
	plugins []json.RawMessage
}

// chosen is the path of the file that a runtime takes, or that was named.
func (a *Agent) chosen() (string, error) {
	all, err := os.ReadDir(a.o.Networks)
	if err != nil {
		return "", err
	}
	for _, one := range all { // by name
		name := one.Name()
		if one.IsDir() || !slices.Contains(kinds, filepath.Ext(name)) {
			continue
		}
		if a.o.Network == "" || name == a.o.Network || name == listName(a.o.Network) {
			return filepath.Join(a.o.Networks, name), nil
		}
	}
	what := "no plugin has configured the network of this node yet"
	if a.o.Network != "" {
		what = a.o.Network + " is not there yet"
	}
	return "", fmt.Errorf("%s: %s", a.o.Networks, what)
}

// listName is that of the list that takes a single plugin's place.
func listName(name string) string { return strings.TrimSuffix(name, filepath.Ext(name)) + ".conflist" }

// chain puts the plugin behind the others of the network. Where it is already, it keeps its place: others may come behind it.
func (a *Agent) chain() error {
	path, err := a.chosen()
	if err != nil {
		return err
	}
	text, n, err := readNetwork(path)
	if err != nil {
		return err
	}
	ours, err := json.Marshal(struct {
		Type              string   `json:"type"`
		Kubeconfig        string   `json:"kubeconfig"`
		ExcludeNamespaces []string `json:"excludeNamespaces"`
		Backend           string   `json:"backend,omitempty"`
		ShortCuts         bool     `json:"shortCuts,omitempty"`
		Cgroups           string   `json:"cgroups,omitempty"`
	}{cni.Name, filepath.Join(a.o.HostPath, filepath.Base(a.kubeconfig())), a.excluded(), a.o.Backend, a.o.ShortCuts, a.o.HostCgroups})
	if err != nil {
		return err
	}
	others := n.others()
	if len(others) == 0 {
		return fmt.Errorf("%s: names no plugin that gives pods a network", path)
	}
	var spoken string
	if json.Unmarshal(n.fields["cniVersion"], &spoken); !slices.Contains(cni.Versions, spoken) { // a runtime would call the plugin by it, and no pod would start
		return fmt.Errorf("%s: its cniVersion is %q: want one of %s", path, spoken, strings.Join(cni.Versions, ", "))
	}
	list := filepath.Join(filepath.Dir(path), listName(filepath.Base(path)))
	if list == path && len(others) == len(n.plugins)-1 && slices.ContainsFunc(n.plugins, func(p json.RawMessage) bool { return same(p, ours) }) {
		return nil
	}
	n.plugins = append(others, ours)
	whole, err := n.text()
	if err != nil {
		return err
	}
	if err := unchanged(path, text); err != nil {
		return err
	}
	mode := os.FileMode(0o644)
	if is, err := os.Stat(path); err == nil {
		mode = is.Mode().Perm()
	}
	if _, err := writeIf(list, mode, whole); err != nil {
		return fmt.Errorf("the network's configuration: %w", err)
	}
	if list != path { // a runtime would take it first, and the plugin would not be called
		if err := os.Rename(path, path+kept); err != nil {
			return fmt.Errorf("the network's configuration: %w", err)
		}
	}
	a.stats.Inc(chained)
	a.o.Log.Info("the plugin was chained", "path", list, "behind", len(others))
	return nil
}

// excluded are the namespaces whose pods are left alone: the agent's own among them, or, with a token that has ended, no agent could start that renews it.
func (a *Agent) excluded() []string {
	all := append([]string{a.o.Namespace}, a.o.ExcludeNamespaces...)
	slices.Sort(all)
	return slices.Compact(all)
}

// unchained is one look at a folder that others write, too: what changed since it was read is looked at anew.
func unchanged(path string, text []byte) error {
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, text) {
		return errors.Join(fmt.Errorf("%s: somebody changes it just now", path), err)
	}
	return nil
}

// unchain takes the plugin out of all networks, and what a list has taken the place of comes back. Whatever was changed in the list since counts.
func (a *Agent) unchain() error {
	all, err := os.ReadDir(a.o.Networks)
	if err != nil {
		return err
	}
	var errs []error
	for _, one := range all {
		if path := filepath.Join(a.o.Networks, one.Name()); !one.IsDir() && slices.Contains(kinds, filepath.Ext(path)) {
			errs = append(errs, unchainFrom(path))
		}
	}
	for _, one := range all { // of networks that somebody else has written anew meanwhile
		if path := filepath.Join(a.o.Networks, one.Name()); strings.HasSuffix(path, kept) {
			errs = append(errs, remove(path))
		}
	}
	return errors.Join(errs...)
}

func unchainFrom(path string) error {
	text, n, err := readNetwork(path)
	if err != nil {
		return nil // whatever it is, it is not ours
	}
	others := n.others()
	if len(others) == len(n.plugins) {
		return nil
	}
	is, err := os.Stat(path)
	if err != nil {
		return err
	}
	for _, kind := range []string{".conf", ".json"} {
		before := strings.TrimSuffix(path, filepath.Ext(path)) + kind
		if _, was, err := readNetwork(before + kept); err == nil && len(others) == 1 && same(was.plugins[0], others[0]) {
			return errors.Join(os.Rename(before+kept, before), remove(path))
		}
	}
	n.plugins = others
	whole, err := n.text()
	if err != nil {
		return err
	}
	if err := unchanged(path, text); err != nil {
		return err
	}
	return write(path, is.Mode().Perm(), bytes.NewReader(whole))
}

// same says that two plugins are told the same, however it is written.
func same(a, b json.RawMessage) bool {
	var x, y map[string]any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	text, err := json.Marshal(x)
	other, wrong := json.Marshal(y)
	return err == nil && wrong == nil && bytes.Equal(text, other)
}

// readNetwork reads a configuration: a list of plugins, or a single one, which becomes a list.
func readNetwork(path string) ([]byte, *network, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	wrong := func(why string) error { return fmt.Errorf("%s: is no configuration of a network: %s", path, why) }
	if len(text) > maxNetwork {
		return nil, nil, wrong(fmt.Sprintf("more than %d bytes", maxNetwork))
	}
	n := &network{}
	if err := json.Unmarshal(text, &n.fields); err != nil {
		return nil, nil, wrong(err.Error())
	}
	if plugins, is := n.fields["plugins"]; is {
		if err := json.Unmarshal(plugins, &n.plugins); err != nil {
			return nil, nil, wrong(err.Error())
		}
		return text, n, nil
	}
	if n.fields["type"] == nil {
		return nil, nil, wrong("it has neither plugins nor a type")
	}
	single := n.fields
	n.fields = map[string]json.RawMessage{}
	for _, key := range []string{"name", "cniVersion"} {
		if v, is := single[key]; is {
			n.fields[key] = v
			delete(single, key)
		}
	}
	plugin, err := json.Marshal(single)
	if err != nil {
		return nil, nil, wrong(err.Error())
	}
	n.plugins = []json.RawMessage{plugin}
	return text, n, nil
}

// others are the plugins that are not ours.
func (n *network) others() []json.RawMessage {
	list := []json.RawMessage{} // and not nil, which would be written as null
	for _, p := range n.plugins {
		var of struct{ Type string }
		if json.Unmarshal(p, &of) == nil && of.Type == cni.Name {
			continue
		}
		list = append(list, p)
	}
	return list
}

// text is the list as it is written: the same for the same, whoever has written it before.
func (n *network) text() ([]byte, error) {
	plugins, err := json.Marshal(n.plugins)
	if err != nil {
		return nil, err
	}
	n.fields["plugins"] = plugins
	text, err := json.MarshalIndent(n.fields, "", "  ")
	return append(text, '\n'), err
}
