package control

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/weftmesh/weft/control/console"
)

// What somebody who comes over TLS may take.
const (
	peopleHead  = 5 * time.Second
	peopleRead  = 30 * time.Second
	peopleWrite = 90 * time.Second // longer than what is asked may take
	peopleIdle  = 2 * time.Minute
	maxPeople   = 256 // connections
)

// openConsole has people look at objects and change them: on this host, and over TLS if there is an address.
func (p *Plane) openConsole() error {
	p.console = console.New(console.Options{Push: p.push, Store: p.store, Lasting: p.Store != "", Stored: fromStore, Places: places, Status: func() any { return p.standing() }, Audit: p.audit.applied,
		Clusters: func() any { return p.clusterStatus() }, CheckCluster: p.checkCluster, AuditCluster: p.audit.cluster, AuditBroken: p.audit.broken, Log: p.Log,
		Stats: p.stats.Acquire(console.Stats, "console.").Loop(0)})
	p.local = p.console.Local()
	switch {
	case p.HTTP == "" && p.Users == "":
		return nil
	case p.HTTP == "":
		return errors.New("--users is about who comes to --http-addr: name an address by that, such as :15443")
	case p.Users == "":
		return errors.New("--http-addr lets nobody in without --users: name a file that says who may do what")
	}
	users, err := console.OpenUsers(p.Users)
	if err != nil {
		return fmt.Errorf("--users: %w", err)
	}
	l, err := p.listen("--http-addr", p.HTTP)
	if err != nil {
		return err
	}
	p.HTTPAddress = l.Addr()
	p.people = &http.Server{
		Handler: p.doors(users), ReadHeaderTimeout: peopleHead, ReadTimeout: peopleRead, WriteTimeout: peopleWrite, IdleTimeout: peopleIdle, MaxHeaderBytes: maxHead,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: p.secure.ca.ServerTLS(p.names()).GetCertificate, NextProtos: []string{"h2", "http/1.1"}},
		ErrorLog:  slog.NewLogLogger(p.Log.Handler(), slog.LevelDebug),
	}
	p.parts.Go(func() { p.people.ServeTLS(p.crowd(l, maxPeople), "", "") })
	return nil
}

// api is the console for who is on this host.
func (p *Plane) api(w http.ResponseWriter, r *http.Request) { p.local.ServeHTTP(w, r) }
