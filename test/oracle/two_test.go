package oracle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// script begins what is sent or answered in frames, one to a line that ends in \n, each a word and what it is about:
//
//	get /path; name: value      the head of a GET, which ends its stream; likewise post, which does not
//	head name: value; ...       a head of these fields, pseudo-header fields, too; head+ ends the stream
//	data text                   data+ ends the stream
//	trailers name: value; ...   ends the stream
//	reset CODE                  the stream
//	goaway, goaway 2            the connection: nothing was served, or all up to this stream
//	settings ID=VALUE
//	ping, priority, empty       an empty frame of data
//	window N                    for the stream
//	times N step                the same again and again
//	on ID                       what follows is about this stream; a head begins a new one, if a client sends it
//	await                       until the answer is whole; await head: until it has begun; await end: until the connection ends
//	settled                     until all that was said has been read
//	early                       at the beginning of an answer: it does not wait for the end of the request
//	close                       the connection
const script = "h2\n"

// speaker is a connection that speaks HTTP/2. It reads only when it waits for something.
type speaker struct {
	framer  *http2.Framer
	conn    net.Conn
	out     bytes.Buffer // what is said before something is read goes at once
	client  bool
	encoder *hpack.Encoder
	block   bytes.Buffer
	streams []*flow
	on      uint32 // the stream that a script is about
	next    uint32
	window  int64 // how much may be sent on the connection, and at first on a stream
	initial int64
	said    []string // by the peer, of the connection
	first   string   // its settings
	pongs   int
}

// flow is one stream.
type flow struct {
	id     uint32
	m      message // from the peer
	headed bool
	ended  bool
	over   string // how it was reset
	window int64
	queue  []byte // what waits for windows
	last   bool   // and ends the stream
	closed bool   // on our side
	due    bool   // it has been answered
	echo   int    // bytes that go back before the end
	tunnel bool
}

// roomy are the settings of speakers: whatever comes has room. The upstream allows tunnels (RFC 8441 §3).
var roomy = []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 1 << 24}}

func speak(c net.Conn, r io.Reader, client bool) *speaker {
	f := &speaker{conn: c, client: client, next: 1, window: 65535, initial: 65535}
	f.framer = http2.NewFramer(&f.out, r)
	f.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.framer.AllowIllegalWrites = true
	f.encoder = hpack.NewEncoder(&f.block)
	settings := roomy
	if client {
		f.out.WriteString(http2.ClientPreface)
	} else {
		settings = append(settings, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 100}, http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1})
	}
	f.framer.WriteSettings(settings...)
	f.framer.WriteWindowUpdate(0, 1<<28)
	return f
}

func (f *speaker) flow(id uint32) *flow {
	if i := slices.IndexFunc(f.streams, func(t *flow) bool { return t.id == id }); i >= 0 {
		return f.streams[i]
	}
	t := &flow{id: id, window: f.initial}
	f.streams = append(f.streams, t)
	return t
}

// head sends a block of fields.
func (f *speaker) head(id uint32, end bool, fields [][2]string) {
	f.block.Reset()
	for _, h := range fields {
		f.encoder.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	b := f.block.Bytes()
	n := min(len(b), 16384)
	f.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: b[:n], EndStream: end, EndHeaders: n == len(b)})
	for b = b[n:]; len(b) > 0; b = b[n:] {
		n = min(len(b), 16384)
		f.framer.WriteContinuation(id, n == len(b), b[:n])
	}
	t := f.flow(id)
	t.closed = t.closed || end
}

// data sends what windows allow, and the rest when they do.
func (f *speaker) data(id uint32, text string, end bool) {
	t := f.flow(id)
	t.queue, t.last = append(t.queue, text...), end
	if len(text) == 0 && !end {
		f.framer.WriteData(id, false, nil)
	}
	f.push(t)
}

func (f *speaker) push(t *flow) {
	for !t.closed {
		n := min(int64(len(t.queue)), f.window, t.window, 16384)
		end := t.last && n == int64(len(t.queue))
		if n <= 0 && !end {
			return
		}
		f.framer.WriteData(t.id, end, t.queue[:n])
		t.queue, t.window, f.window, t.closed = t.queue[n:], t.window-n, f.window-n, end
	}
}

func (f *speaker) flush() {
	f.conn.Write(f.out.Bytes())
	f.out.Reset()
}

// read reads a frame.
func (f *speaker) read() error {
	f.flush()
	frame, err := f.framer.ReadFrame()
	if broken := (http2.StreamError{}); errors.As(err, &broken) {
		f.flow(broken.StreamID).over = "unreadable: " + broken.Error()
		return nil
	}
	if err != nil {
		return err
	}
	switch frame := frame.(type) {
	case *http2.MetaHeadersFrame:
		t := f.flow(frame.StreamID)
		var fields [][2]string
		for _, h := range frame.Fields {
			fields = append(fields, [2]string{h.Name, h.Value})
		}
		switch {
		case t.headed:
			t.m.trailers = fields
		case f.client:
			t.m.line += "HTTP/2 " + frame.PseudoValue("status")
			t.m.head = slices.DeleteFunc(fields, func(h [2]string) bool { return h[0] == ":status" })
			if t.headed = frame.PseudoValue("status")[0] != '1'; !t.headed {
				t.m.line += fmt.Sprint(t.m.head, ", then ")
			}
		default:
			t.headed, t.m.line = true, frame.PseudoValue("method")+" "+frame.PseudoValue("path")+" HTTP/2"
			t.m.head = slices.DeleteFunc(fields, func(h [2]string) bool { return h[0] == ":method" || h[0] == ":path" })
		}
		t.ended = frame.StreamEnded()
	case *http2.DataFrame:
		t := f.flow(frame.StreamID)
		t.m.body += string(frame.Data())
		t.ended = frame.StreamEnded()
	case *http2.RSTStreamFrame:
		f.flow(frame.StreamID).over = "reset: " + frame.ErrCode.String()
	case *http2.SettingsFrame:
		if frame.IsAck() {
			break
		}
		var list []string
		frame.ForeachSetting(func(s http2.Setting) error {
			switch s.ID {
			case http2.SettingInitialWindowSize:
				for _, t := range f.streams {
					t.window += int64(s.Val) - f.initial
				}
				f.initial = int64(s.Val)
			case http2.SettingHeaderTableSize:
				f.encoder.SetMaxDynamicTableSizeLimit(s.Val)
			}
			list = append(list, fmt.Sprintf("%v=%d", s.ID, s.Val))
			return nil
		})
		slices.Sort(list)
		f.first = strings.Join(list, " ")
		f.framer.WriteSettingsAck()
	case *http2.WindowUpdateFrame:
		if frame.StreamID == 0 {
			f.window += int64(frame.Increment)
		} else {
			f.flow(frame.StreamID).window += int64(frame.Increment)
		}
		for _, t := range f.streams {
			f.push(t)
		}
	case *http2.PingFrame:
		if frame.IsAck() {
			f.pongs++
		} else {
			f.framer.WritePing(true, frame.Data)
		}
	case *http2.GoAwayFrame:
		f.said = append(f.said, fmt.Sprintf("goaway: %v after %d", frame.ErrCode, frame.LastStreamID))
	}
	return nil
}

// until reads until something is so.
func (f *speaker) until(so func() bool) error {
	for !so() {
		if err := f.read(); err != nil {
			return err
		}
	}
	return nil
}

// settled reads all that the peer has to say to what it was told.
func (f *speaker) settled() error {
	want := f.pongs + 1
	f.framer.WritePing(false, [8]byte{1})
	return f.until(func() bool { return f.pongs == want })
}

func (t *flow) done() bool { return t.ended || t.over != "" }

// fieldsOf reads name: value; name: value.
func fieldsOf(text string) (list [][2]string) {
	for _, p := range strings.Split(text, "; ") {
		if p == "" {
			continue
		}
		colon := strings.Index(p[1:], ": ") + 1
		if colon == 0 {
			list = append(list, [2]string{strings.TrimSuffix(p, ":"), ""})
			continue
		}
		list = append(list, [2]string{p[:colon], p[colon+2:]})
	}
	return list
}

// play does what a script says.
func (f *speaker) play(text string) error {
	for step := range strings.Lines(text) {
		if err := f.step(strings.TrimSuffix(step, "\n")); err != nil {
			return err
		}
	}
	return nil
}

func (f *speaker) step(step string) error {
	word, about, _ := strings.Cut(step, " ")
	number, _ := strconv.Atoi(about)
	end := strings.HasSuffix(word, "+")
	switch strings.TrimSuffix(word, "+") {
	case "get", "post":
		path, fields, _ := strings.Cut(about, "; ")
		f.begin()
		f.head(f.on, word == "get" || end, append([][2]string{{":method", strings.ToUpper(strings.TrimSuffix(word, "+"))}, {":scheme", "http"}, {":authority", "a.example"}, {":path", path}}, fieldsOf(fields)...))
	case "head":
		if f.client {
			f.begin()
		}
		f.head(f.on, end, fieldsOf(about))
	case "data":
		f.data(f.on, about, end)
	case "empty":
		f.framer.WriteData(f.on, end, nil)
	case "trailers":
		f.head(f.on, true, fieldsOf(about))
	case "reset":
		f.framer.WriteRSTStream(f.on, http2.ErrCode(number))
		f.flow(f.on).over = "given up"
	case "goaway":
		f.framer.WriteGoAway(f.on*uint32(number&2)/2, 0, nil)
	case "settings":
		id, value, _ := strings.Cut(about, "=")
		i, _ := strconv.Atoi(id)
		v, _ := strconv.Atoi(value)
		f.framer.WriteSettings(http2.Setting{ID: http2.SettingID(i), Val: uint32(v)})
	case "ping":
		f.framer.WritePing(false, [8]byte{2})
	case "priority":
		f.framer.WritePriority(f.on, http2.PriorityParam{Weight: 15})
	case "window":
		f.framer.WriteWindowUpdate(f.on, uint32(number))
	case "times":
		n, rest, _ := strings.Cut(about, " ")
		count, _ := strconv.Atoi(n)
		for range count {
			if err := f.step(rest); err != nil {
				return err
			}
		}
	case "on":
		f.on = uint32(number)
	case "await":
		t := f.flow(f.on)
		return f.until(func() bool { return about != "end" && (t.done() || about == "head" && t.headed) })
	case "settled":
		return f.settled()
	case "early":
	case "close":
		return io.EOF
	default:
		panic("no such step: " + step)
	}
	return nil
}

func (f *speaker) begin() {
	f.on = f.next
	f.next += 2
}

// hops are fields that HTTP/2 has none of (RFC 9113 §8.2.2).
var hops = []string{"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings", "host"}

// translated is a request of HTTP/1 as the fields of one of HTTP/2. An upgrade is an extended CONNECT (RFC 8441 §4).
func translated(m *message) (fields [][2]string) {
	words := strings.SplitN(m.line, " ", 3)
	method, target := words[0], words[1]
	add := func(name, value string) { fields = append(fields, [2]string{name, value}) }
	if p := m.value("upgrade"); p != "" && strings.Contains(strings.ToLower(m.value("connection")), "upgrade") {
		method = "CONNECT"
		add(":protocol", p)
	}
	add(":method", method)
	if words[0] != "CONNECT" {
		add(":scheme", "http")
		add(":path", target)
	}
	for _, h := range m.head {
		if strings.EqualFold(h[0], "host") {
			add(":authority", h[1])
		}
	}
	for _, h := range m.head {
		if !slices.Contains(hops, strings.ToLower(h[0])) {
			add(strings.ToLower(h[0]), h[1])
		}
	}
	return fields
}

// tunnels tells whether a request has a stream that goes on after its head.
func tunnels(fields [][2]string) bool {
	return slices.Contains(fields, [2]string{":method", "CONNECT"})
}

// converse is what an exchange says and hears when its client speaks HTTP/2.
func (s *side) converse(c *scenario, e *exchange, client net.Conn, send string, first bool, note func(what, value string)) {
	f := speak(client, client, true)
	defer f.flush()
	var err error
	if text, ok := strings.CutPrefix(send, script); ok {
		err = f.play(text)
		if err == nil {
			err = f.until(func() bool { return !slices.ContainsFunc(f.streams, func(t *flow) bool { return !t.done() }) })
		}
	} else {
		text, _ := raw(send)
		for r := newReader(strings.NewReader(text)); err == nil; {
			m, whole := r.request()
			if m.line == "" {
				break
			}
			fields := translated(m)
			f.begin()
			t := f.flow(f.on)
			end := whole == nil && !tunnels(fields)
			f.head(t.id, end && m.body == "" && m.trailers == nil, fields)
			if m.body != "" {
				f.data(t.id, m.body, end && m.trailers == nil)
			}
			if m.trailers != nil {
				f.head(t.id, true, m.trailers)
			}
			if e.then != "" && t.id == 1 {
				if err = f.until(func() bool { return t.headed || t.done() }); err == nil && !t.done() {
					f.data(t.id, e.then, false)
				}
			}
			if err == nil {
				err = f.until(t.done)
			}
		}
	}
	if err == nil {
		err = f.settled()
	}
	if ended := ending(err); ended != "" {
		f.said = append(f.said, ended)
	}
	for n, t := range f.streams {
		if t.m.line != "" {
			note(fmt.Sprintf("answer%d", n), t.m.line)
		}
		for _, h := range t.m.fields() {
			note(fmt.Sprintf("answer%d:%s", n, h.what), h.value)
		}
		note(fmt.Sprintf("answer%d body", n), fmt.Sprintf("%q %v", t.m.plain(), t.ended))
		if t.over != "" {
			note(fmt.Sprintf("answer%d %s", n, t.over), "so")
		}
	}
	if first {
		note("settings", f.first)
	}
	note("connection", strings.Join(f.said, ", "))
}

// talk2 answers requests in HTTP/2.
func (u *upstream) talk2(c net.Conn, r io.Reader, agreed string) {
	f := speak(c, r, false)
	defer f.flush()
	for f.read() == nil {
		for _, t := range f.streams {
			if t.tunnel {
				n := min(t.echo, len(t.m.body))
				if n > 0 {
					t.echo -= n
					f.data(t.id, t.m.body[:n], t.echo == 0)
					t.m.body = t.m.body[n:]
				}
				continue
			}
			if t.due || t.over != "" || !t.headed || !t.ended && !u.isEarly() && !strings.HasPrefix(t.m.line, "CONNECT ") {
				continue
			}
			t.due = true
			m := t.m
			answer, echo := u.ask(&m, agreed)
			if answer == "" || f.answer(t, answer, echo) != nil {
				return
			}
		}
	}
}

// isEarly tells whether the next answer does not wait for the end of its request.
func (u *upstream) isEarly() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.answers) > 0 && strings.HasPrefix(u.answers[min(len(u.asked), len(u.answers)-1)], script+"early\n")
}

// answer says an answer that is written for HTTP/1, or a script.
func (f *speaker) answer(t *flow, text string, echo int) error {
	if text == silence {
		return nil
	}
	if steps, ok := strings.CutPrefix(text, script); ok {
		f.on = t.id
		return f.play(steps)
	}
	text, t.tunnel = strings.CutSuffix(text, tunnel)
	for r := newReader(strings.NewReader(text)); ; {
		line, _ := r.r.ReadString('\n')
		words := strings.SplitN(strings.TrimSpace(line), " ", 3)
		if len(words) < 2 {
			return io.EOF
		}
		m := &message{}
		var err error
		if m.head, err = r.block(); err != nil {
			return err
		}
		status := words[1]
		extended := t.m.value(":protocol") != ""
		if status == "101" && extended {
			status = "200"
		}
		fields := [][2]string{{":status", status}}
		for _, h := range m.head {
			if !slices.Contains(hops, strings.ToLower(h[0])) {
				fields = append(fields, [2]string{strings.ToLower(h[0]), h[1]})
			}
		}
		if status[0] == '1' && status != "101" {
			f.head(t.id, false, fields)
			continue
		}
		var ended error
		switch {
		case t.tunnel:
			rest, _ := io.ReadAll(r.r)
			m.body = string(rest)
		case strings.HasPrefix(t.m.line, "HEAD ") || status == "204" || status == "304":
		default:
			ended = r.content(m, false)
		}
		whole := ended == nil && !t.tunnel
		f.head(t.id, whole && m.body == "" && m.trailers == nil, fields)
		if m.body != "" {
			f.data(t.id, m.body, whole && m.trailers == nil)
		}
		if whole && m.trailers != nil {
			f.head(t.id, true, m.trailers)
		}
		t.echo = echo
		return ended
	}
}

// speaks2 has a cluster's endpoints speak HTTP/2.
const speaks2 = "http2_protocol_options: {}"

// inTwo are scenarios in which the client, or upstreams, or both speak HTTP/2, as far as what they say can be said in it.
func inTwo(suffix string, client, up bool, lists ...[]scenario) (out []scenario) {
	for _, c := range slices.Concat(lists...) {
		if c.raw() || c.dynamic || c.name == "posts" { // of which what is told of tunnels depends on who is first
			continue
		}
		own := regexp.MustCompile(`\b` + c.name + `_(up|b|c|d|dead|none)\b`)
		named := func(text string) string { return own.ReplaceAllString(text, c.name+suffix+"_$1") }
		two := c
		for _, text := range []*string{&two.vhost, &two.hosts, &two.table, &two.manager, &two.filters, &two.router, &two.json, &two.loggers, &two.logs} {
			*text = named(*text)
		}
		two.name, two.two, two.clusters, two.sends = c.name+suffix, client, map[string]string{}, nil
		for name, text := range c.clusters {
			two.clusters[name] = named(text)
		}
		said := false // which version it is
		if _, all := c.text(); up {
			for name := range all {
				text := strings.ReplaceAll(two.clusters[name], trailing, "")
				said = said || strings.Contains(text, "rotocolOptions") || strings.Contains(text, "http_protocol_options")
				two.clusters[name] = text + "\n" + speaks2
			}
		}
		if said {
			continue
		}
		if client && strings.Contains(c.manager, "upgrade_configs") {
			two.manager += "\nhttp2_protocol_options: {allow_connect: true}"
		}
		for i, e := range c.sends {
			if slices.Contains(odd[c.name], i) {
				continue
			}
			if e.send = named(e.send); client && !sayable(e.send) || up && slices.ContainsFunc(e.answers, func(a string) bool { return !answerable(a) }) {
				continue
			}
			two.sends = append(two.sends, e)
		}
		if len(two.sends) > 0 {
			out = append(out, two)
		}
	}
	return out
}

// sayable tells whether a request can be said in HTTP/2.
func sayable(send string) bool {
	text, _ := raw(send)
	m, _ := newReader(strings.NewReader(text)).request()
	words := strings.Split(m.line, " ")
	if len(words) != 3 || words[2] != "HTTP/1.1" || words[0] != "CONNECT" && words[1][0] != '/' && words[1][0] != '*' || !strings.Contains(text, "\r\n\r\n") {
		return false
	}
	hosts := 0
	for _, h := range m.head {
		if strings.EqualFold(h[0], "host") {
			hosts++
		}
		if strings.Contains(h[0], " ") || !strings.Contains(text, h[0]+":") {
			return false
		}
	}
	return hosts == 1 && m.value("upgrade") != "h2c" && (m.value("upgrade") == "" || strings.Contains(strings.ToLower(m.value("connection")), "upgrade"))
}

// answerable tells whether an answer can be said in HTTP/2.
func answerable(answer string) bool {
	if answer == "" || answer == silence {
		return true
	}
	m, err := newReader(strings.NewReader(strings.TrimSuffix(answer, tunnel))).response("HEAD")
	if err != nil || !strings.HasPrefix(m.line, "HTTP/1.1 ") {
		return false
	}
	names := map[string]bool{}
	for _, h := range m.head {
		if name := strings.ToLower(h[0]); !strings.Contains(answer, h[0]+":") || name == "content-length" && names[name] {
			return false
		} else {
			names[name] = true
		}
	}
	return !strings.Contains(m.line, "HTTP/1.1 101") || strings.HasSuffix(answer, tunnel)
}
