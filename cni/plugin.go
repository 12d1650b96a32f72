package cni

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/weftmesh/weft/capture"
)

// Name is the program's by which it is the plugin, and the plugin's type in a network's configuration.
const Name = "weft-cni"

// Versions are those of the specification that the plugin speaks. Before them plugins were not chained.
var Versions = []string{"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}

// Codes of errors, of those that a plugin may choose (the specification, section 5: 100 and above).
const (
	codePod     uint = 100 // what the pod says cannot be carried out
	codeCapture uint = 101 // the kernel has not taken it
)

// asking bounds how long the plugin asks for a pod. Kubelets give a pod's network four minutes, and call again after a failure.
const asking = 10 * time.Second

// Config is what the plugin is told by the network's configuration.
type Config struct {
	types.PluginConf
	Kubeconfig        string   `json:"kubeconfig"`        // path of the file by which the API server is asked
	ExcludeNamespaces []string `json:"excludeNamespaces"` // whose pods are left alone, and not asked for
	Backend           string   `json:"backend,omitempty"` // as capture's; empty: auto
	ShortCuts         bool     `json:"shortCuts,omitempty"`
	Cgroups           string   `json:"cgroups,omitempty"` // as of Means

	previous json.RawMessage // the result of the plugins before, as it came
}

// readConfig reads a configuration.
func readConfig(text []byte) (*Config, error) {
	c := &Config{}
	if err := json.Unmarshal(text, c); err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, "the network's configuration is not read: "+err.Error(), "")
	}
	var raw struct {
		Previous json.RawMessage `json:"prevResult"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, "prevResult is not read: "+err.Error(), "")
	}
	if c.previous = raw.Previous; bytes.Equal(c.previous, []byte("null")) {
		c.previous = nil
	}
	if c.Kubeconfig == "" {
		return nil, types.NewError(types.ErrInvalidNetworkConfig, "the network's configuration of "+Name+" names no kubeconfig: let weft node write it", "")
	}
	return c, nil
}

// Run is the plugin: a command from the environment, a configuration on standard input, a result on stdout. It returns the exit code. What is done is said on
// stderr, which runtimes log.
func Run(stdout, stderr io.Writer) int {
	p := plugin{stdout, stderr}
	err := skel.PluginMainFuncsWithError(skel.CNIFuncs{Add: p.add, Check: p.check, Del: p.del, GC: func(*skel.CmdArgs) error { return nil }, Status: p.status},
		version.PluginSupports(Versions...), "weft-cni captures the traffic of pods that have a sidecar; it is called by container runtimes, behind the plugin that gives pods their network, and set up by weft node")
	if err != nil {
		json.NewEncoder(stdout).Encode(struct { // as the specification has it, which wants the version, too
			Version string `json:"cniVersion"`
			*types.Error
		}{version.Current(), err})
		return 1
	}
	return 0
}

// plugin carries commands out. GC has nothing to do: rules go with the pod's namespace, and each DEL takes away all programs whose pods have gone.
type plugin struct{ stdout, stderr io.Writer }

// add captures, and passes on what the plugins before have said.
func (p plugin) add(a *skel.CmdArgs) error {
	c, err := readConfig(a.StdinData)
	if err != nil {
		return err
	}
	if c.previous == nil {
		return types.NewError(types.ErrInvalidNetworkConfig, Name+" is chained behind a plugin that gives pods their network: there is no prevResult", "")
	}
	name, why, err := p.each(a, c, Capture)
	if err != nil {
		return err
	}
	if name != "" {
		fmt.Fprintf(p.stderr, "weft-cni: pod %s: %s\n", name, why)
	}
	_, err = p.stdout.Write(append(c.previous, '\n'))
	return err
}

// del takes programs away that have captured. Neither the configuration nor the API server is asked: pods end whatever has become of those.
func (p plugin) del(a *skel.CmdArgs) error {
	if err := capture.Forget(a.Netns); err != nil {
		return types.NewError(codeCapture, "weft-cni: what has captured the pod's traffic is not taken away: "+err.Error(), "")
	}
	return nil
}

// check says what is not as add has left it.
func (p plugin) check(a *skel.CmdArgs) error {
	c, err := readConfig(a.StdinData)
	if err != nil {
		return err
	}
	_, _, err = p.each(a, c, Check)
	return err
}

// status says whether pods can be added. The API server is not asked: while it cannot be reached, pods fail one by one and are tried again, which leaves those of
// namespaces without sidecars alone.
func (p plugin) status(a *skel.CmdArgs) error {
	c, err := readConfig(a.StdinData)
	if err != nil {
		return err
	}
	if _, err := ReadKubeconfig(c.Kubeconfig); err != nil {
		return types.NewError(types.ErrPluginNotAvailable, err.Error(), "")
	}
	return nil
}

// each finds out which pod it is and what it wants, and has that done in its namespace. Without a name it is no pod of Kubernetes.
func (p plugin) each(a *skel.CmdArgs, c *Config, do func(path string, w *Wanted, m Means) (string, error)) (name, why string, err error) {
	said := map[string]string{}
	for one := range strings.SplitSeq(a.Args, ";") {
		key, value, _ := strings.Cut(one, "=")
		said[key] = value
	}
	space, pod := said["K8S_POD_NAMESPACE"], said["K8S_POD_NAME"]
	if space == "" || pod == "" {
		return "", "", nil
	}
	name = space + "/" + pod
	if slices.Contains(c.ExcludeNamespaces, space) {
		return name, "is not captured: namespace " + space + " is one of those that are left alone", nil
	}
	s, err := ReadKubeconfig(c.Kubeconfig)
	if err != nil {
		return name, "", types.NewError(types.ErrPluginNotAvailable, err.Error(), "")
	}
	ctx, cancel := context.WithTimeout(context.Background(), asking)
	defer cancel()
	found, err := s.pod(ctx, space, pod, said["K8S_POD_UID"])
	if err != nil {
		return name, "", types.NewError(types.ErrTryAgainLater, fmt.Sprintf("weft-cni: pod %s: whether it has a sidecar is not known, so that it is not started: %v", name, err), "")
	}
	w, not, err := found.Wanted()
	if err != nil {
		return name, "", types.NewError(codePod, fmt.Sprintf("weft-cni: pod %s: %v", name, err), "")
	}
	if w == nil {
		return name, "is not captured: " + not, nil
	}
	if why, err = do(a.Netns, w, Means{c.Backend, c.ShortCuts, c.Cgroups, said["K8S_POD_UID"]}); err != nil {
		code := codeCapture
		if errors.Is(err, errSettings) {
			code = codePod
		}
		return name, "", types.NewError(code, fmt.Sprintf("weft-cni: pod %s: %v", name, err), "")
	}
	return name, why, nil
}
