package main

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"

	meshv1 "istio.io/api/mesh/v1alpha1"

	"github.com/weftmesh/weft/control/inject"
	"github.com/weftmesh/weft/control/source"
)

const injectHelp = `Put sidecars into what pods are made from, in files: Pods, Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs, CronJobs and Lists. It is what weftd's
webhook does to pods. All other documents stay as they are, byte for byte, and so does what has a sidecar already. Nobody is asked.

Usage:
  weftctl inject -f FILE... [flags]

Examples:
  weftctl inject -f shop.yaml --set image=REGISTRY/proxyv2-weft:TAG | kubectl apply -f -
  weftctl inject -f shop.yaml --inject-config inject.yaml --mesh-config mesh.yaml
  weftctl inject -f - --objects mesh < shop.yaml         with the ProxyConfigs and ASMProxyConfigs of a directory`

// injectOptions are what the command is told.
type injectOptions struct {
	files, objects, changes                              []string
	injectConfig, meshConfig, namespace, root, discovery string
	revision                                             string
}

func runInject(args []string, s streams) int {
	o := &injectOptions{}
	each := func(into *[]string) func(string) error {
		return func(text string) error {
			*into = append(*into, text)
			return nil
		}
	}
	names, err := parsed("inject", injectHelp, args, s.out, func(set *flag.FlagSet) {
		set.Func("f", "`file` of YAML or JSON, a directory, or - for standard input; it may be said several times", each(&o.files))
		set.StringVar(&o.injectConfig, "inject-config", "", "`file` with what is said of all sidecars, as weftd has it")
		set.Func("set", "`KEY=VALUE` of that file, such as image=REGISTRY/proxyv2-weft:TAG, tag=1.30, sidecar.concurrency=2; it may be said several times", each(&o.changes))
		set.StringVar(&o.meshConfig, "mesh-config", "", "`file` with the mesh's own configuration, Istio's MeshConfig")
		set.Func("objects", "`file` or directory with ProxyConfigs and ASMProxyConfigs that say what sidecars are like; it may be said several times", each(&o.objects))
		set.StringVar(&o.namespace, "namespace", "default", "`namespace` of objects that say none")
		set.StringVar(&o.root, "kube-namespace", "istio-system", "`namespace` of weftd")
		set.StringVar(&o.discovery, "discovery", "", "`address` at which sidecars find weftd, HOST:PORT; empty: weftd's Service in that namespace, port 15012")
		set.StringVar(&o.revision, "revision", "", "`name` of that weftd among several; empty: default")
	})
	if errors.Is(err, flag.ErrHelp) {
		return exitDone
	}
	if err == nil && len(names) > 0 {
		err = fmt.Errorf("unexpected argument %q: files are named by -f", names[0])
	}
	if err == nil && len(o.files) == 0 {
		err = errors.New("of what? want -f FILE, a directory, or - for standard input")
	}
	if err != nil {
		fmt.Fprintf(s.err, "weftctl inject: %v\n", err)
		return exitUsage
	}
	if err := o.run(s); err != nil {
		fmt.Fprintf(s.err, "weftctl inject: %v\n", err)
		return exitFailed
	}
	return exitDone
}

// run writes the files, all of them or nothing.
func (o *injectOptions) run(s streams) error {
	of, err := o.world()
	if err != nil {
		return err
	}
	all, err := manifests(o.files, s)
	if err != nil {
		return err
	}
	var out []byte
	var wrong []error
	for _, one := range all {
		text, reports, err := inject.File(one.data, o.namespace, of)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", one.file, err))
			continue
		}
		for _, r := range reports {
			where := fmt.Sprintf("%s:%d: %s %s/%s", one.file, r.Line, r.Kind, r.Namespace, r.Name)
			if r.Skipped != "" {
				fmt.Fprintf(s.err, "%s stays as it is: %s\n", where, r.Skipped)
			}
			for _, w := range r.Warnings {
				fmt.Fprintf(s.err, "Warning: %s: %s\n", where, w)
			}
		}
		if len(out) > 0 && len(text) > 0 { // the last document of the one before has ended
			if out[len(out)-1] != '\n' {
				out = append(out, '\n')
			}
			if !strings.HasPrefix(string(text), "---") {
				out = append(out, "---\n"...)
			}
		}
		out = append(out, text...)
	}
	if len(wrong) > 0 {
		return errors.Join(wrong...)
	}
	_, err = s.out.Write(out)
	return err
}

// world reads what the mesh says, for each namespace.
func (o *injectOptions) world() (func(string) *inject.World, error) {
	var data []byte
	if o.injectConfig != "" {
		var err error
		if data, err = content(o.injectConfig); err != nil {
			return nil, fmt.Errorf("--inject-config: %w", err)
		}
	}
	install, err := inject.ReadInstall(data, o.changes...)
	if err != nil {
		return nil, fmt.Errorf("--inject-config and --set: %w", err)
	}
	w := inject.World{Install: install, Config: &meshv1.MeshConfig{}, Revision: o.revision, Discovery: o.discovery, RootNamespace: o.root}
	if w.Discovery == "" {
		service := "weftd"
		if o.revision != "" && o.revision != "default" {
			service += "-" + o.revision
		}
		w.Discovery = service + "." + o.root + ".svc:15012"
	}
	if o.meshConfig != "" {
		text, err := content(o.meshConfig)
		if err != nil {
			return nil, fmt.Errorf("--mesh-config: %w", err)
		}
		object, problems := source.ReadMeshConfig(text, source.Origin{File: o.meshConfig})
		if object == nil {
			var all []error
			for _, p := range problems {
				all = append(all, fmt.Errorf("--mesh-config: %s:%d: %s: %s", o.meshConfig, p.From.Line, p.Path, p.Text))
			}
			return nil, errors.Join(all...)
		}
		w.Config = object.Spec.(*meshv1.MeshConfig)
		if root := w.Config.GetRootNamespace(); root != "" {
			w.RootNamespace = root
		}
	}
	spaces := map[string][]*source.Object{}
	if len(o.objects) > 0 {
		files, err := manifests(o.objects, streams{})
		if err != nil {
			return nil, fmt.Errorf("--objects: %w", err)
		}
		objects, err := objectsIn(files, "")
		if err != nil {
			return nil, fmt.Errorf("--objects: %w", err)
		}
		for _, kind := range []source.Kind{source.ProxyConfig, source.ASMProxyConfig} {
			for _, one := range objects {
				if one.Kind == kind {
					spaces[one.Namespace] = append(spaces[one.Namespace], one)
				}
			}
		}
		for _, list := range spaces {
			slices.SortStableFunc(list, func(a, b *source.Object) int {
				if a.Kind != b.Kind {
					return int(a.Kind) - int(b.Kind)
				}
				return a.Created.Compare(b.Created)
			})
		}
	}
	return func(namespace string) *inject.World {
		one := w
		one.Namespace, one.Root, one.Space = namespace, spaces[w.RootNamespace], spaces[namespace]
		return &one
	}, nil
}
