package store

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// Etcd is a store in a cluster of etcd, which several processes may have at a time. A write is on the disks of most members when it returns.
type Etcd struct {
	name   string // for people
	prefix string // of all keys there
	client *clientv3.Client
	ctx    context.Context // ends with Close
	close  context.CancelFunc
	limit  time.Duration // of a request
	beat   time.Duration // between looks whether etcd is there, while it has nothing to tell
}

// How long etcd may take.
const (
	etcdDial  = 5 * time.Second
	etcdTime  = 5 * time.Second
	etcdBack  = 3 * time.Second // between tries to connect, at most
	etcdAgain = 500 * time.Millisecond
	etcdBeat  = 10 * time.Second
	etcdPage  = 100 // keys of a list at a time
)

// defaultPrefix is where things are in etcd if nobody says.
const defaultPrefix = "weft"

// OpenEtcd opens a store that is named etcd://HOST:PORT[,HOST:PORT][/PREFIX]?ca=FILE[&cert=FILE&key=FILE]. The key of the mesh's root is kept there, so
// that others than this host are asked over TLS only. Nobody is asked anything yet.
func OpenEtcd(name string) (*Etcd, error) {
	rest, is := strings.CutPrefix(name, "etcd://")
	if !is {
		return nil, fmt.Errorf("store: %s: want etcd://HOST:PORT", name)
	}
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("store: %s: %w", name, fmt.Errorf(format, args...))
	}
	rest, query, _ := strings.Cut(rest, "?")
	hosts, prefix, _ := strings.Cut(rest, "/")
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, wrong("what is behind the question mark: %w", err)
	}
	for k, v := range values {
		if k != "ca" && k != "cert" && k != "key" {
			return nil, wrong("there is no setting %q: want ca, cert and key", k)
		}
		if len(v) != 1 || v[0] == "" {
			return nil, wrong("%s: want one file", k)
		}
	}
	loopback := true
	var endpoints []string
	for _, one := range strings.Split(hosts, ",") {
		host, port, err := net.SplitHostPort(one)
		if err != nil || host == "" || port == "" || strings.Contains(one, "@") {
			return nil, wrong("%q is no address: want HOST:PORT, with commas between several", one)
		}
		ip := net.ParseIP(host)
		loopback = loopback && (host == "localhost" || ip != nil && ip.IsLoopback())
		endpoints = append(endpoints, one)
	}
	config := clientv3.Config{DialTimeout: etcdDial, DialKeepAliveTime: etcdTime, DialKeepAliveTimeout: etcdTime, Logger: zap.NewNop(), MaxCallRecvMsgSize: etcdPage * (MaxValue + MaxKey)}
	config.DialOptions = []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: etcdDial,
		Backoff: backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: etcdBack}})} // gRPC's own goes up to two minutes
	switch {
	case values.Get("ca") != "":
		if config.TLS, err = etcdTLS(values.Get("ca"), values.Get("cert"), values.Get("key")); err != nil {
			return nil, wrong("%w", err)
		}
	case values.Get("cert") != "" || values.Get("key") != "":
		return nil, wrong("a certificate is for TLS, and nobody says whom to trust: want ca=FILE")
	case !loopback:
		return nil, wrong("the key of the mesh's root would go over the network as it is: want ca=FILE, for TLS")
	}
	scheme := "http://"
	if config.TLS != nil {
		scheme = "https://"
	}
	for _, one := range endpoints {
		config.Endpoints = append(config.Endpoints, scheme+one)
	}
	e := &Etcd{name: "etcd at " + hosts, prefix: "/" + cmp.Or(strings.Trim(prefix, "/"), defaultPrefix) + "/", limit: etcdTime, beat: etcdBeat}
	if e.client, err = clientv3.New(config); err != nil {
		return nil, wrong("%w", err)
	}
	e.ctx, e.close = context.WithCancel(context.Background())
	return e, nil
}

func etcdTLS(ca, cert, key string) (*tls.Config, error) {
	text, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
	if !c.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("ca: %s has no certificate", ca)
	}
	if cert == "" && key == "" {
		return c, nil
	}
	if cert == "" || key == "" {
		return nil, errors.New("cert and key: want both, or none")
	}
	if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
		return nil, fmt.Errorf("cert: %w", err)
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { // which may be another by then
		pair, err := tls.LoadX509KeyPair(cert, key)
		return &pair, err
	}
	return c, nil
}

// asking bounds a request, and ends it when the store is closed.
func (e *Etcd) asking(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, e.limit)
	stop := context.AfterFunc(e.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// why is what has gone wrong with a key, in the words of this room.
func (e *Etcd) why(ctx context.Context, key string, err error) error {
	switch {
	case e.ctx.Err() != nil:
		return failed(key, ErrClosed)
	case ctx.Err() != nil: // of who asks
		return failed(key, ctx.Err())
	case errors.Is(err, rpctypes.ErrTooManyOps), errors.Is(err, rpctypes.ErrRequestTooLarge):
		return failed(key, fmt.Errorf("%w: %s: %w", ErrInvalid, e.name, err))
	}
	return failed(key, fmt.Errorf("%s: %w", e.name, err))
}

func (e *Etcd) entry(kv *mvccpb.KeyValue) Entry {
	return Entry{Key: strings.TrimPrefix(string(kv.Key), e.prefix), Value: kv.Value, Revision: revisionOf(kv.ModRevision)}
}

func revisionOf(n int64) Revision { return Revision(strconv.FormatInt(n, 10)) }

// Get implements Store.
func (e *Etcd) Get(ctx context.Context, key string) (Entry, error) {
	asked, cancel := e.asking(ctx)
	defer cancel()
	r, err := e.client.Get(asked, e.prefix+key)
	if err != nil {
		return Entry{}, e.why(ctx, key, err)
	}
	if len(r.Kvs) == 0 {
		return Entry{}, failed(key, ErrNotFound)
	}
	return e.entry(r.Kvs[0]), nil
}

// List implements Store.
func (e *Etcd) List(ctx context.Context, prefix string) ([]Entry, error) {
	all, _, err := e.list(ctx, prefix)
	return all, err
}

// list reads all at one revision of etcd's, and gives that.
func (e *Etcd) list(ctx context.Context, prefix string) (all []Entry, at int64, err error) {
	from, end := e.prefix+prefix, clientv3.GetPrefixRangeEnd(e.prefix+prefix)
	for {
		asked, cancel := e.asking(ctx)
		r, err := e.client.Get(asked, from, clientv3.WithRange(end), clientv3.WithLimit(etcdPage), clientv3.WithRev(at))
		cancel()
		if err != nil {
			return nil, 0, e.why(ctx, prefix, err)
		}
		if at == 0 {
			at = r.Header.Revision
		}
		for _, kv := range r.Kvs {
			all = append(all, e.entry(kv))
		}
		if !r.More || len(r.Kvs) == 0 {
			return all, at, nil
		}
		from = string(r.Kvs[len(r.Kvs)-1].Key) + "\x00"
	}
}

// Put implements Store.
func (e *Etcd) Put(ctx context.Context, key string, value []byte, was Revision) (Revision, error) {
	return one(e.Commit(ctx, []Write{{Key: key, Value: value, Was: was}}))
}

// Delete implements Store.
func (e *Etcd) Delete(ctx context.Context, key string, was Revision) error {
	_, err := e.Commit(ctx, []Write{{Key: key, Was: was, Gone: true}})
	return err
}

// Commit implements Store.
func (e *Etcd) Commit(ctx context.Context, writes []Write) ([]Revision, error) {
	if err := Check(writes); err != nil {
		return nil, err
	}
	var conditions []clientv3.Cmp
	var then, otherwise []clientv3.Op
	for _, w := range writes {
		key, was := e.prefix+w.Key, int64(0)
		if w.Was != Absent {
			var err error
			if was, err = strconv.ParseInt(string(w.Was), 10, 64); err != nil || was <= 0 {
				return nil, failed(w.Key, ErrConflict) // no revision of etcd's
			}
		}
		if w.Gone && was == 0 {
			was = -1 // what is not there cannot go, and what is there is not that
		}
		conditions = append(conditions, clientv3.Compare(clientv3.ModRevision(key), "=", was))
		if w.Gone {
			then = append(then, clientv3.OpDelete(key))
		} else {
			then = append(then, clientv3.OpPut(key, string(w.Value)))
		}
		otherwise = append(otherwise, clientv3.OpGet(key, clientv3.WithKeysOnly()))
	}
	asked, cancel := e.asking(ctx)
	defer cancel()
	r, err := e.client.Txn(asked).If(conditions...).Then(then...).Else(otherwise...).Commit()
	if err != nil {
		key := ""
		if len(writes) > 0 {
			key = writes[0].Key
		}
		return nil, e.why(ctx, key, err)
	}
	if !r.Succeeded {
		for i, w := range writes {
			is := Absent
			if kvs := r.Responses[i].GetResponseRange().Kvs; len(kvs) > 0 {
				is = revisionOf(kvs[0].ModRevision)
			}
			if err := w.stands(is); err != nil {
				return nil, failed(w.Key, err)
			}
		}
		return nil, failed(writes[0].Key, ErrConflict)
	}
	all := make([]Revision, len(writes))
	for i, w := range writes {
		if !w.Gone {
			all[i] = revisionOf(r.Header.Revision)
		}
	}
	return all, nil
}

// Watch implements Store. A connection that is lost is made again, and what has changed meanwhile is told then; it returns when etcd is not there at all.
func (e *Etcd) Watch(ctx context.Context, prefix string, each func([]Event)) error {
	if e.ctx.Err() != nil {
		return failed(prefix, ErrClosed)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.ctx, cancel)()
	var w watchers
	var parts sync.WaitGroup
	var away error // why etcd is not there
	err := w.watch(ctx, prefix, func(join func()) ([]Entry, error) {
		join()
		all, at, err := e.list(ctx, prefix)
		if err != nil {
			return nil, err
		}
		parts.Go(func() { e.follow(ctx, prefix, all, at, &w) })
		parts.Go(func() {
			if away = e.listen(ctx, prefix); away != nil {
				cancel()
			}
		})
		return all, nil
	}, each)
	cancel()
	parts.Wait()
	switch {
	case e.ctx.Err() != nil:
		return failed(prefix, ErrClosed)
	case away != nil:
		return away
	}
	return err
}

// listen asks etcd from time to time, until it does not answer: a watch of one that is gone is only silent.
func (e *Etcd) listen(ctx context.Context, prefix string) error {
	tick := time.NewTicker(e.beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		asked, cancel := e.asking(ctx)
		_, err := e.client.Get(asked, e.prefix, clientv3.WithCountOnly())
		cancel()
		if err != nil && ctx.Err() == nil {
			return e.why(ctx, prefix, err)
		}
	}
}

// follow tells what changes after a revision, until the context ends. It knows what it has told, for when etcd does not remember what was in between.
func (e *Etcd) follow(ctx context.Context, prefix string, all []Entry, at int64, w *watchers) {
	known := make(map[string]Revision, len(all))
	for _, one := range all {
		known[one.Key] = one.Revision
	}
	for ctx.Err() == nil {
		at = e.followOnce(ctx, prefix, at, known, w)
		select {
		case <-ctx.Done():
			return
		case <-time.After(etcdAgain):
		}
		now, revision, err := e.list(ctx, prefix)
		if err != nil {
			continue // from where it was
		}
		w.tell(difference(now, known))
		at = revision
	}
}

// followOnce tells what changes until the watch is lost, and gives the revision up to which it has.
func (e *Etcd) followOnce(ctx context.Context, prefix string, at int64, known map[string]Revision, w *watchers) int64 {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// A member that is cut off from the others says so, instead of nothing.
	for r := range e.client.Watch(clientv3.WithRequireLeader(ctx), e.prefix+prefix, clientv3.WithPrefix(), clientv3.WithRev(at+1)) {
		if r.Err() != nil {
			return at
		}
		events := make([]Event, 0, len(r.Events))
		for _, one := range r.Events {
			key := strings.TrimPrefix(string(one.Kv.Key), e.prefix)
			if one.Type == clientv3.EventTypeDelete {
				delete(known, key)
				events = append(events, Event{Entry{Key: key}})
				continue
			}
			entry := e.entry(one.Kv)
			known[key] = entry.Revision
			events = append(events, Event{entry})
		}
		at = r.Header.Revision
		w.tell(events)
	}
	return at
}

// difference is what makes of what was told what there is.
func difference(now []Entry, known map[string]Revision) (events []Event) {
	there := make(map[string]bool, len(now))
	for _, one := range now {
		there[one.Key] = true
		if known[one.Key] != one.Revision {
			known[one.Key] = one.Revision
			events = append(events, Event{one})
		}
	}
	for key := range known {
		if !there[key] {
			delete(known, key)
			events = append(events, Event{Entry{Key: key}})
		}
	}
	return events
}

// Close implements Store.
func (e *Etcd) Close() error {
	e.close()
	if err := e.client.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("store: %s: %w", e.name, err)
	}
	return nil
}
