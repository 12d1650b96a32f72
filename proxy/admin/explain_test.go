package admin

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

// TestReadQuestion: what is wrong is said with what would be right.
func TestReadQuestion(t *testing.T) {
	for _, c := range []struct{ query, want string }{
		{"", "say listener=NAME or address=IP:PORT"},
		{"listner=a", `there is no parameter "listner": want listener, address`},
		{"listener=a&listener=b", "listener is there 2 times"},
		{"address=10.0.0.1", `address is "10.0.0.1": want IP:PORT`},
		{"address=host:80", "want IP:PORT"},
		{"listener=a&source=x", "want IP or IP:PORT"},
		{"listener=a&tls=maybe", `tls is "maybe": want true or false`},
		{"listener=a&tls=false&sni=x", "sni and identity are for TLS"},
		{"listener=a&method=POST", "say its url, too"},
		{"listener=a&url=/&header=x", `want "name: value"`},
		{"listener=a&url=/&header=Host:%20x", "the header host is the url's authority"},
		{"listener=a&url=/" + strings.Repeat("&header=a:b", 257), "257 headers: want 256 at most"},
		{"listener=a&argument=int=1", "argument is of a call of Dubbo: say its url, too"},
		{"url=dubbo://10.0.0.1:20880/&method=m", "want dubbo://authority/interface"},
		{"url=dubbo://10.0.0.1:20880/a.B", "say the method that is called"},
		{"url=dubbo://shop:20880/a.B&method=m", `"shop:20880" is no IP:PORT: say address=IP:PORT or listener=NAME, too`},
		{"url=dubbo://10.0.0.1/a.B&method=m&header=a:b", "a call has attachment=NAME=VALUE"},
		{"url=dubbo://10.0.0.1/a.B&method=m&attachment=a", `attachment is "a": want NAME=VALUE`},
		{"url=dubbo://10.0.0.1/a.B&method=m" + strings.Repeat("&argument=int=1", 256), "256 arguments: want 255 at most"},
		{"url=dubbo://10.0.0.1/a.B&method=m" + strings.Repeat("&attachment=a=b", 253), "253 attachments: want 252 at most"},
		{"listener=a", ""}, {"address=[::1]:80", ""}, {"address=@abstract", ""}, {"address=/run/sock&url=/", ""}, {"listener=a&source=10.0.0.1", ""},
	} {
		q, err := ReadQuestion(parse(t, c.query))
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.query, err, c.want)
		case err == nil && q.Call == nil && q.Method != "GET":
			t.Errorf("%s: method %q", c.query, q.Method)
		}
	}
	q, err := ReadQuestion(parse(t, "address=[::ffff:10.0.0.1]:80&source=10.0.0.2:9&sni=A.test&alpn=h2&alpn=http/1.1&url=https://a/&header=X-A:%20b:%20c"))
	if err != nil || q.Address.String() != "10.0.0.1:80" || q.Source.String() != "10.0.0.2:9" || q.ServerName != "a.test" || !q.TLS || len(q.Applications) != 2 || q.Headers[0].Name != "x-a" || q.Headers[0].Value != "b: c" {
		t.Errorf("%+v, %v", q, err)
	}
	q, err = ReadQuestion(parse(t, "url=dubbo://10.0.0.1/a.B%3fversion=2%26group=g%26side=x&version=1&method=m&argument=java.lang.String=a=b&argument=a.C&attachment=k=v=w"))
	if err != nil || q.Address.String() != "10.0.0.1:20880" || q.Call == nil || q.TLS {
		t.Fatalf("%+v, %v", q, err)
	}
	if got, want := fmt.Sprintf("%+v %v", *q.Call, q.Passed()), "{Interface:a.B Version:1 Group:g Method:m Arguments:[{Type:java.lang.String Value:a=b Null:false} {Type:a.C Value: Null:true}] Attachments:[{Name:k Value:v=w}] "; !strings.HasPrefix(got, want) || !strings.HasSuffix(got, " [side]") {
		t.Errorf("%s: want %s", got, want)
	}
	for query, tls := range map[string]bool{"url=https://a/": true, "url=http://a/": false, "sni=a": true, "tls": true, "tls=true": true, "tls=false&url=https://a/": false} {
		if q, err := ReadQuestion(parse(t, "listener=a&"+query)); err != nil || q.TLS != tls {
			t.Errorf("%s: TLS %v, %v", query, q, err)
		}
	}
}

func parse(t *testing.T, query string) url.Values {
	t.Helper()
	v, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSplitURL(t *testing.T) {
	for _, c := range []struct {
		method, url string
		want        [3]string
		bad         bool
	}{
		{"GET", "http://a/b?c=d#e", [3]string{"http", "a", "/b?c=d"}, false},
		{"GET", "HTTPS://a", [3]string{"https", "a", "/"}, false},
		{"GET", "http://a?b", [3]string{"http", "a", "/?b"}, false},
		{"GET", "http://[::1]:80/a/../b%2f//", [3]string{"http", "[::1]:80", "/a/../b%2f//"}, false},
		{"GET", "/a", [3]string{"", "", "/a"}, false},
		{"CONNECT", "a:443", [3]string{"", "a:443", ""}, false},
		{"CONNECT", "https://a:443/x", [3]string{"https", "a:443", ""}, false},
		{"GET", "a/b", [3]string{}, true},
		{"GET", "ftp://a/", [3]string{}, true},
	} {
		scheme, authority, path, err := (&Question{Method: c.method, URL: c.url}).SplitURL()
		if got := [3]string{scheme, authority, path}; got != c.want || (err != nil) != c.bad {
			t.Errorf("%s %s: %q, %v", c.method, c.url, got, err)
		}
	}
}

// FuzzQuestion: whatever is asked is read, or refused in words.
func FuzzQuestion(f *testing.F) {
	f.Add("listener=a&url=http://b/c&header=d:e")
	f.Add("url=dubbo://10.0.0.1/a.B%3fgroup=g&method=m&argument=int=1&attachment=a=b")
	f.Add("address=10.0.0.1:80&sni=x&alpn=h2&source=::1")
	f.Fuzz(func(t *testing.T, query string) {
		v, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		q, err := ReadQuestion(v)
		if (q == nil) == (err == nil) {
			t.Fatalf("%+v, %v", q, err)
		}
		if err != nil {
			return
		}
		again, err := ReadQuestion(v)
		if err != nil || !reflect.DeepEqual(q, again) {
			t.Fatalf("read again it is %+v, %v", again, err)
		}
		if _, _, path, err := q.SplitURL(); err == nil && path != "" && path[0] != '/' {
			t.Fatalf("path %q", path)
		}
	})
}
