package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/weftmesh/weft/control/ca"
	"github.com/weftmesh/weft/control/source"
)

const vmText = `Write what a host outside of Kubernetes, a virtual machine or bare metal, needs to be in the mesh: a unit of systemd (weft.service), what that is told (weft.env), whom weftd is believed by (roots.pem), a token to join with,
and README.txt with the three commands to run there. The host is one of a WorkloadGroup, and is registered while it is connected; with --identity it is of a service account, and is registered nowhere.
The token is good once, so it is a folder for each host, and nobody else may read it. It is for weftd on this host, which makes the token.

Usage:
  weftctl vm GROUP -n NAMESPACE --plane HOST:PORT -o DIR [flags]
  weftctl vm --identity IDENTITY --plane HOST:PORT -o DIR [flags]

Examples:
  weftctl vm web -n shop --plane weftd.test:15012 -o web-1
  weftctl vm web -n shop --plane weftd.test:15012 -o web-1 --force                         again, with another token
  weftctl vm web -n shop --plane weftd.test:15012 -o web-1 --address 10.0.0.7 --life 2h    where others reach it; time to get there
  weftctl vm --identity shop/sleep --plane weftd.test:15012 -o sleep-1 --capture=false     a host that calls others, and captures nothing`

// planeName is a name of DNS that weftd's certificate always has.
const planeName = "weftd.istio-system.svc"

func vmCommand() *planeCommand {
	return &planeCommand{name: "vm", text: vmText, most: 1,
		flags: func(f *flag.FlagSet, o *planeOptions) {
			f.StringVar(&o.namespace, "n", "default", "`namespace` of the group")
			f.StringVar(&o.identity, "identity", "", "`identity` of a host that is of no group: NAMESPACE/ACCOUNT, or all of it")
			f.StringVar(&o.out, "o", "", "`folder` that it is written into; it is made")
			f.BoolVar(&o.force, "force", false, "write over files that are there")
			f.StringVar(&o.address, "address", "", "`address` of the host, an IP, at which others reach it; empty: the first that the host has")
			f.StringVar(&o.plane, "plane", "", "`address` of weftd's --secure-grpc-addr, HOST:PORT, as the host reaches it")
			f.StringVar(&o.network, "network", "", "`name` of the network that the host is in; empty: as the group says")
			f.BoolVar(&o.capture, "capture", true, "have the kernel bring the host's traffic to the sidecar; false: listeners are bound, and who is to go by it is told so")
			f.StringVar(&o.exclude, "exclude-inbound-ports", "22", "`ports` that others reach without the sidecar, separated by commas")
			f.DurationVar(&o.life, "life", ca.DefaultTokenLife, fmt.Sprintf("how `long` the token is good, at most %v", ca.MaxTokenLife))
			domainFlag(f, o)
		},
		check: checkVM,
		run:   writeVM}
}

func runVM(args []string, s streams) int { return vmCommand().do(args, s) }

func checkVM(o *planeOptions) (err error) {
	switch {
	case len(o.names) == 0 && o.identity == "":
		return errors.New("of which group? say the name of a WorkloadGroup, or --identity NAMESPACE/ACCOUNT")
	case len(o.names) > 0 && o.identity != "":
		return errors.New("a host is of a group, whose account it has, or of an --identity: want one of the two")
	case o.identity != "":
		if o.identity, err = identityOf(o.identity, o.domain); err != nil {
			return fmt.Errorf("--identity: %w", err)
		}
	default:
		if _, is := source.ParsePath("workloadgroups/" + o.namespace + "/" + o.names[0]); !is {
			return fmt.Errorf("%s/%s is no name of an object", o.namespace, o.names[0])
		}
	}
	if o.address != "" {
		if a, err := netip.ParseAddr(o.address); err != nil || a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" {
			return fmt.Errorf("--address is %q: want the IP at which others reach the host", o.address)
		}
	}
	host, port, err := net.SplitHostPort(o.plane)
	if n, wrong := strconv.ParseUint(port, 10, 16); err != nil || wrong != nil || n == 0 || !isHost(host) {
		return fmt.Errorf("--plane is %q: want HOST:PORT of weftd's --secure-grpc-addr", o.plane)
	}
	if o.network != "" && !source.IsName(o.network) {
		return fmt.Errorf("--network is %q: want small letters, digits and dashes", o.network)
	}
	for port := range strings.SplitSeq(o.exclude, ",") {
		if n, err := strconv.ParseUint(port, 10, 16); o.exclude != "" && (err != nil || n == 0) {
			return fmt.Errorf("--exclude-inbound-ports is %q: want ports separated by commas", o.exclude)
		}
	}
	if o.life <= 0 || o.life > ca.MaxTokenLife {
		return fmt.Errorf("--life is %v: want more than nothing and at most %v", o.life, ca.MaxTokenLife)
	}
	if o.out == "" {
		return errors.New("into which folder? want -o DIR")
	}
	if !o.force {
		for _, name := range []string{"weft.service", "weft.env", "README.txt", "roots.pem", "token"} {
			if _, err := os.Lstat(filepath.Join(o.out, name)); err == nil {
				return fmt.Errorf("%s is there: want another folder, or --force to write over it", filepath.Join(o.out, name))
			}
		}
	}
	return nil
}

// isHost tells a name of DNS or an address, which stands in a file as it is.
func isHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host != "" && !strings.ContainsFunc(host, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '.' && r != '-'
	})
}

func writeVM(ctx context.Context, p *pages, o *planeOptions, s streams) error {
	m := &machine{Namespace: o.namespace, Domain: o.domain, Address: o.address, Plane: o.plane, Network: o.network, Capture: o.capture, Exclude: o.exclude, Life: o.life}
	if o.identity != "" {
		who, err := ca.ParseIdentity(o.identity)
		if err != nil {
			return err
		}
		m.Namespace, m.Account, m.Domain = who.Namespace, who.ServiceAccount, who.TrustDomain
	} else if err := m.asGroup(ctx, p, o.names[0]); err != nil {
		return err
	}
	identity, err := identityOf(m.Namespace+"/"+m.Account, m.Domain)
	if err != nil {
		return err
	}
	roots, err := p.get(ctx, rootsPage)
	if err != nil {
		return err
	}
	m.Made = time.Now() // before the token is, so that its life is not said to be longer
	token, err := p.post(ctx, tokenPage, url.Values{"identity": {identity}, "life": {o.life.Round(time.Millisecond).String()}})
	if err != nil {
		return err
	}
	files := append(m.files(), machineFile{"roots.pem", string(roots), 0o644}, machineFile{"token", string(bytes.TrimSpace(token)) + "\n", 0o600})
	if err := put(o.out, files); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "%s has what a host of %s needs. The token is good once, and until %s: bring the folder there by a way that nobody else reads, and do as README.txt says.\n", o.out, m.Who(), m.Until())
	return err
}

// asGroup takes what a group says of its machines.
func (m *machine) asGroup(ctx context.Context, p *pages, name string) error {
	var group struct {
		Manifest struct {
			Spec struct {
				Metadata struct {
					Labels map[string]string `json:"labels"`
				} `json:"metadata"`
				Template struct {
					ServiceAccount string            `json:"serviceAccount"`
					Network        string            `json:"network"`
					Locality       string            `json:"locality"`
					Labels         map[string]string `json:"labels"`
				} `json:"template"`
				Probe json.RawMessage `json:"probe"`
			} `json:"spec"`
		} `json:"manifest"`
	}
	if err := p.getJSON(ctx, "/api/objects/workloadgroups/"+m.Namespace+"/"+name, &group); err != nil {
		return err
	}
	spec := &group.Manifest.Spec
	m.Group, m.Account, m.Locality, m.Probe = name, cmp.Or(spec.Template.ServiceAccount, "default"), spec.Template.Locality, spec.Probe
	m.Network = cmp.Or(m.Network, spec.Template.Network)
	m.Labels = maps.Clone(spec.Template.Labels)
	if m.Labels == nil {
		m.Labels = map[string]string{}
	}
	maps.Copy(m.Labels, spec.Metadata.Labels) // which count before those of the template, as where the entry is made
	return nil
}

// put writes files into a folder, each anew, so that no other name of it and no wider right is left.
func put(folder string, files []machineFile) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	for _, f := range files {
		path := filepath.Join(folder, f.name)
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, os.FileMode(f.mode))
		if err != nil {
			return err
		}
		_, err = file.WriteString(f.text)
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
	return nil
}
