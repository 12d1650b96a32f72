package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestPageNamesAll: docs/weftctl.md has every command, and each of its flags in the command's own part.
func TestPageNamesAll(t *testing.T) {
	b, err := os.ReadFile("../../docs/weftctl.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	parts := map[string]string{}
	for _, part := range regexp.MustCompile(`(?m)^##+ `).Split(page, -1) {
		title, text, _ := strings.Cut(part, "\n")
		parts[strings.TrimPrefix(title, "weftctl ")] = text
	}
	flags := func(command, part, common string, args ...string) {
		code, help, _ := control(append(args, "--help")...)
		if code != exitDone {
			t.Fatalf("weftctl %s --help: exit code %d", command, code)
		}
		found := regexp.MustCompile(`(?m)^  -(\w[\w-]*)`).FindAllStringSubmatch(help, -1)
		for _, f := range found {
			name := "`--" + f[1]
			if len(f[1]) == 1 {
				name = "`-" + f[1]
			}
			if !strings.Contains(parts[part], name) && !strings.Contains(common, name) {
				t.Errorf("docs/weftctl.md says nothing of %s of weftctl %s", strings.Trim(name, "`"), command)
			}
		}
		if len(found) == 0 || !strings.Contains(help, "Examples:\n  weftctl "+command) {
			t.Errorf("weftctl %s --help has no flags or no examples:\n%s", command, help)
		}
	}
	for _, c := range commands {
		if !strings.Contains(page, "`weftctl "+c.name) {
			t.Errorf("docs/weftctl.md does not name weftctl %s", c.name)
		}
		switch c.name {
		case "proxy":
			for _, p := range proxyCommands() {
				if !strings.Contains(parts[p.name], "`weftctl proxy "+p.name) {
					t.Errorf("docs/weftctl.md does not name weftctl proxy %s", p.name)
				}
				flags("proxy "+p.name, p.name, parts["proxy"], "proxy", p.name)
			}
		case "ca":
			for _, p := range caCommands() {
				flags(p.name, p.name, parts["ca"], strings.Fields(p.name)...)
			}
		case "break":
			for _, p := range breakCommands() {
				flags(p.name, p.name, parts["break"], strings.Fields(p.name)...)
			}
		case "mend":
			for _, p := range mendCommands() {
				flags(p.name, p.name, parts["break"], strings.Fields(p.name)...)
			}
		case "cluster":
			for _, p := range clusterCommands() {
				flags(p.name, p.name, parts["cluster"], strings.Fields(p.name)...)
			}
		case "rollout":
			for _, p := range rolloutCommands() {
				flags(p.name, p.name, parts["rollout"], strings.Fields(p.name)...)
			}
		case "version", "completion":
		default:
			flags(c.name, c.name, "", c.name)
		}
	}
}
