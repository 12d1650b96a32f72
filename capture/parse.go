package capture

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Parse reads a command line of istio-iptables, completed by the environment and the host. flag.ErrHelp means that help was asked for, and written.
func Parse(args []string, h Host, help io.Writer, head string) (Options, error) {
	set := flag.NewFlagSet("capture", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	values := map[string]string{}
	short := map[string]string{}
	for _, f := range Flags() {
		values[f.Name] = f.Default
		for _, name := range f.Env {
			// An empty variable of a switch is one that is not set.
			if v, ok := h.Env(name); ok && !(f.Bool && v == "") {
				values[f.Name] = v
			}
		}
		usage := f.Usage
		if f.Harmless != "" {
			usage = "accepted: " + f.Harmless
		}
		for _, name := range []string{f.Name, f.Short} {
			if name == "" {
				continue
			}
			if name != f.Name {
				if usage = "short for --" + f.Name; name == "o" {
					usage += ", or for --output"
				}
				short[name] = f.Name
			}
			set.Var(&value{to: func(v string) {
				// -o is short for ports with Istio and for a form with everybody else; the two cannot be taken for one another.
				if name == "o" && slices.Contains(forms, v) {
					values["output"] = v
					return
				}
				values[f.Name] = v
			}, bool: f.Bool, def: f.Default}, name, usage)
		}
	}
	if err := set.Parse(apart(args, set, short)); err != nil {
		if err == flag.ErrHelp {
			io.WriteString(help, head)
			set.SetOutput(help)
			set.PrintDefaults()
			return Options{}, err
		}
		return Options{}, fmt.Errorf("%w (--help lists the flags)", err)
	}
	if set.NArg() > 0 {
		return Options{}, fmt.Errorf("unexpected argument %q (--help lists the flags)", set.Arg(0))
	}
	r := &reader{values: values}
	o := r.options(h)
	if len(r.errs) > 0 {
		return o, r.err()
	}
	return o, o.check()
}

// value is one flag's.
type value struct {
	to   func(string)
	bool bool
	def  string
}

func (v *value) String() string     { return v.def }
func (v *value) Set(s string) error { v.to(s); return nil }
func (v *value) IsBoolFlag() bool   { return v.bool }

// apart puts a blank between a short flag and what is written at it: -p15001.
func apart(args []string, set *flag.FlagSet, short map[string]string) []string {
	var list []string
	for _, a := range args {
		if len(a) > 2 && a[0] == '-' && a[1] != '-' && a[2] != '=' && set.Lookup(strings.SplitN(a[1:], "=", 2)[0]) == nil && short[a[1:2]] != "" {
			list = append(list, a[:2], a[2:])
			continue
		}
		list = append(list, a)
	}
	return list
}
