package http

import "testing"

func TestRequest(t *testing.T) {
	var r, c Request
	for range 2 { // a second time after Reset
		r.SetMethod([]byte("GET"))
		r.SetScheme([]byte("https"))
		r.SetAuthority([]byte("a:1"))
		r.SetPath([]byte("/b?c"))
		r.SetTarget(AbsoluteForm)
		r.SetHostSpelling([]byte("HOST"))
		r.Version = HTTP11
		r.AddString(Via, "x")
		c.CopyFrom(&r)
		for name, r := range map[string]*Request{"the request": &r, "its copy": &c} {
			if string(r.Method()) != "GET" || string(r.Scheme()) != "https" || string(r.Authority()) != "a:1" || string(r.Path()) != "/b?c" ||
				r.Target() != AbsoluteForm || string(r.HostSpelling()) != "HOST" || r.Version != HTTP11 || string(r.Get(Via)) != "x" {
				t.Errorf("%s: %+v", name, r)
			}
		}
		r.SetPath([]byte("/other"))
		if string(c.Path()) != "/b?c" {
			t.Error("the copy shares memory")
		}
		r.Reset()
		if len(r.Method())+len(r.Scheme())+len(r.Authority())+len(r.Path())+len(r.HostSpelling())+r.Len() != 0 || r.Target() != OriginForm || r.Version != HTTP10 {
			t.Errorf("after Reset: %+v", r)
		}
	}
	for method, want := range map[string][2]bool{"GET": {}, "HEAD": {true, false}, "CONNECT": {false, true}, "head": {}, "": {}} {
		r.SetMethod([]byte(method))
		if r.IsHead() != want[0] || r.IsConnect() != want[1] {
			t.Errorf("%q: HEAD %v, CONNECT %v", method, r.IsHead(), r.IsConnect())
		}
	}
}

func TestResponse(t *testing.T) {
	var r Response
	r.Version, r.Status = HTTP2, 200
	r.SetReason([]byte("fine"))
	r.AddString(Server, "x")
	if string(r.Reason()) != "fine" || string(r.Get(Server)) != "x" {
		t.Errorf("%+v", r)
	}
	r.Reset()
	if len(r.Reason()) != 0 || r.Status != 0 || r.Version != HTTP10 || r.Len() != 0 {
		t.Errorf("after Reset: %+v", r)
	}
	for status, want := range map[uint16]bool{100: true, 101: false, 103: true, 199: true, 200: false, 500: false} {
		if r.Status = status; r.IsInformational() != want {
			t.Errorf("%d: %v", status, !want)
		}
	}
}

func TestVersion(t *testing.T) {
	for v, want := range map[Version]string{HTTP10: "HTTP/1.0", HTTP11: "HTTP/1.1", HTTP2: "HTTP/2", HTTP3: "HTTP/3"} {
		if v.String() != want {
			t.Errorf("%v, want %s", v, want)
		}
	}
}

func TestFieldByName(t *testing.T) {
	var r Request
	r.Reset()
	r.SetMethod([]byte("PUT"))
	r.SetPath([]byte("/a?b"))
	r.SetScheme([]byte("http"))
	r.SetAuthority([]byte("a.example"))
	r.AddNamed([]byte("x-a"), []byte("1"))
	r.AddNamed([]byte("x-a"), []byte("2"))
	for name, want := range map[string]string{":method": "PUT", ":path": "/a?b", ":scheme": "http", ":authority": "a.example", "host": "a.example", ":status": "", "x-a": "1", "x-b": "", "": ""} {
		if got := string(r.Field(name)); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
		if pseudo := name != "" && name[0] == ':' || name == "host"; IsPseudo(name) != pseudo {
			t.Errorf("%q is said to be one of the head's: %v", name, !pseudo)
		}
	}
}

func TestProtocol(t *testing.T) {
	var r, c Request
	r.Reset()
	r.SetMethod([]byte("CONNECT"))
	size := r.HeadSize()
	r.SetProtocol([]byte("websocket"))
	c.CopyFrom(&r)
	if string(c.Protocol()) != "websocket" || string(c.Field(":protocol")) != "websocket" || r.HeadSize() != size+len(":protocolwebsocket") {
		t.Errorf("%q, %q, %d bytes", c.Protocol(), c.Field(":protocol"), r.HeadSize())
	}
	if r.Reset(); len(r.Protocol()) != 0 {
		t.Errorf("after Reset: %q", r.Protocol())
	}
}
