package main

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"
)

const secretsText = `List secrets: certificates, roots and session ticket keys by name, and every certificate that is in use. Private keys are never shown,
in no format.

With NAME, only secrets with NAME in their name.

Usage:
  weftctl proxy secrets [NAME] [flags]

Examples:
  weftctl proxy secrets
  weftctl proxy secrets default -o yaml         with the certificates themselves`

func proxySecrets(ctx context.Context, p *pages, o *proxyOptions, s streams) error {
	d, err := p.dump(ctx, nil)
	if err != nil {
		return err
	}
	const part = "SecretsConfigDump"
	all := slices.Concat(resources(d, part, "static", "static_secrets", "secret"), resources(d, part, "active", "dynamic_active_secrets", "secret"), resources(d, part, "warming", "dynamic_warming_secrets", "secret"))
	list, err := o.picked(p, "secret", all)
	if err != nil && o.name() != "" {
		return err
	}
	if o.format != "table" {
		return printed(s.out, o.format, valuesOf(list))
	}
	var certs any
	if b, err := p.get(ctx, "/certs"); err != nil {
		return err
	} else if certs, err = decoded(b); err != nil {
		return fmt.Errorf("what %s answers to /certs is no JSON: %w", p.address, err)
	}
	now := time.Now()
	if len(list) > 0 {
		rows := [][]string{{"SECRET", "KIND", "STATE", "SUBJECT", "NAMES", "VALID UNTIL", "DAYS"}}
		for _, r := range list {
			rows = append(rows, secretRow(r, now))
		}
		if err := table(s.out, rows); err != nil {
			return err
		}
	}
	if o.name() != "" {
		return nil
	}
	used := [][]string{{"IN USE FROM", "KIND", "SERIAL", "NAMES", "VALID UNTIL", "DAYS"}}
	for _, c := range listAt(certs, "certificates") {
		for field, kind := range map[string]string{"cert_chain": "certificate", "ca_cert": "root"} {
			for _, one := range listAt(c, field) {
				used = append(used, []string{textAt(one, "path"), kind, textAt(one, "serial_number"), shortList(namesIn(one), 2), textAt(one, "expiration_time"), textAt(one, "days_until_expiration")})
			}
		}
	}
	if len(used) == 1 {
		if len(list) == 0 {
			return o.nothing("secret", p)
		}
		return nil
	}
	slices.SortFunc(used[1:], slices.Compare[[]string])
	if len(list) > 0 {
		fmt.Fprintln(s.out)
	}
	return table(s.out, slices.CompactFunc(used, func(a, b []string) bool { return slices.Equal(a, b) }))
}

func namesIn(certificate any) (out []string) {
	for _, n := range listAt(certificate, "subject_alt_names") {
		for _, kind := range []string{"uri", "dns", "ip_address"} {
			if v := textAt(n, kind); v != "" {
				out = append(out, v)
			}
		}
	}
	return out
}

// secretRow says of a secret what may be seen of it.
func secretRow(r resource, now time.Time) []string {
	state := strings.TrimSpace(r.state + " " + r.version)
	var source any
	kind := "empty"
	switch v := r.value; {
	case at(v, "tls_certificate") != nil:
		kind, source = "certificate", at(v, "tls_certificate", "certificate_chain")
	case at(v, "validation_context") != nil:
		kind, source = "roots", at(v, "validation_context", "trusted_ca")
	case at(v, "session_ticket_keys") != nil:
		kind = "session ticket keys"
	case at(v, "generic_secret") != nil:
		kind = "generic"
	}
	row := []string{r.name, kind, state, "", "", "", ""}
	if file := textAt(source, "filename"); file != "" {
		row[3] = "in " + file
	}
	c := certificateIn(source)
	if c == nil {
		return row
	}
	var names []string
	for _, u := range c.URIs {
		names = append(names, u.String())
	}
	names = append(names, c.DNSNames...)
	row[3], row[4], row[5] = c.Subject.String(), shortList(names, 2), c.NotAfter.UTC().Format(time.RFC3339)
	row[6] = fmt.Sprint(int(c.NotAfter.Sub(now).Hours() / 24))
	return row
}

// certificateIn is the first certificate of a data source that is written inline.
func certificateIn(source any) *x509.Certificate {
	text := []byte(textAt(source, "inline_string"))
	if b, err := base64.StdEncoding.DecodeString(textAt(source, "inline_bytes")); err == nil && len(b) > 0 {
		text = b
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return c
}
