// Command dubbogo is dubbo-go as a peer in tests: "dubbogo server NAME PROTOCOL PORT" is a provider of org.example.peers.Greeter, "dubbogo client" and "dubbogo load" are consumers of it. All say "ready", and end with their input. It is a module of
// its own, so that what dubbo-go needs is not what Weft needs.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dubbo.apache.org/dubbo-go/v3/client"
	_ "dubbo.apache.org/dubbo-go/v3/cluster/cluster/failfast"
	_ "dubbo.apache.org/dubbo-go/v3/cluster/loadbalance/random"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	_ "dubbo.apache.org/dubbo-go/v3/filter/accesslog"
	_ "dubbo.apache.org/dubbo-go/v3/filter/echo"
	_ "dubbo.apache.org/dubbo-go/v3/filter/exec_limit"
	_ "dubbo.apache.org/dubbo-go/v3/filter/generic"
	_ "dubbo.apache.org/dubbo-go/v3/filter/graceful_shutdown"
	_ "dubbo.apache.org/dubbo-go/v3/filter/token"
	_ "dubbo.apache.org/dubbo-go/v3/filter/tps"
	_ "dubbo.apache.org/dubbo-go/v3/filter/tps/limiter"
	_ "dubbo.apache.org/dubbo-go/v3/filter/tps/strategy"
	"dubbo.apache.org/dubbo-go/v3/protocol"
	_ "dubbo.apache.org/dubbo-go/v3/protocol/dubbo"
	_ "dubbo.apache.org/dubbo-go/v3/protocol/triple"
	triple "dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"
	_ "dubbo.apache.org/dubbo-go/v3/proxy/proxy_factory"
	_ "dubbo.apache.org/dubbo-go/v3/registry/protocol"
	"dubbo.apache.org/dubbo-go/v3/server"
	"github.com/apache/dubbo-go-hessian2/java_exception"
)

const greeter = "org.example.peers.Greeter"

// Greeter is what the interface of that name has in Java.
type Greeter struct {
	name string
	kept atomic.Value
}

// Reference is the interface's name.
func (*Greeter) Reference() string { return greeter }

// Greet says the server's name, and the argument.
func (g *Greeter) Greet(_ context.Context, who string) (string, error) {
	return g.name + " " + who, nil
}

// Attached says what is attached to the call under a key.
func (g *Greeter) Attached(ctx context.Context, key string) (string, error) {
	all, _ := ctx.Value(constant.AttachmentKey).(map[string]any)
	v := all[key]
	if list, ok := v.([]string); ok && len(list) == 1 {
		v = list[0]
	}
	return fmt.Sprint(v), nil
}

// Fail fails with the message, as an exception that Java knows.
func (g *Greeter) Fail(_ context.Context, message string) (string, error) {
	return "", java_exception.NewException(message)
}

// Note keeps a text.
func (g *Greeter) Note(_ context.Context, text string) (string, error) {
	g.kept.Store(text)
	return "", nil
}

// Noted says the text that was kept last.
func (g *Greeter) Noted(context.Context) (string, error) {
	text, _ := g.kept.Load().(string)
	return text, nil
}

// described names the methods as Java does. By itself dubbo-go finds them under Java's names with Dubbo 2, and not with Triple.
func (g *Greeter) described() *common.ServiceInfo {
	text := func(name string, f func(context.Context, string) (string, error)) common.MethodInfo {
		return common.MethodInfo{Name: name, Type: constant.CallUnary, ReqInitFunc: func() any { return []any{new(string)} },
			MethodFunc: func(ctx context.Context, arguments []any, _ any) (any, error) {
				argument, ok := arguments[0].(string)
				if !ok {
					return nil, fmt.Errorf("an argument of type %T", arguments[0])
				}
				answer, err := f(ctx, argument)
				if err != nil {
					return nil, err
				}
				return triple.NewResponse(answer), nil
			}}
	}
	noted := common.MethodInfo{Name: "noted", Type: constant.CallUnary, ReqInitFunc: func() any { return []any{} },
		MethodFunc: func(ctx context.Context, _ []any, _ any) (any, error) {
			answer, err := g.Noted(ctx)
			return triple.NewResponse(answer), err
		}}
	return &common.ServiceInfo{InterfaceName: greeter, ServiceType: g, Methods: []common.MethodInfo{text("greet", g.Greet), text("attached", g.Attached), text("fail", g.Fail), text("note", g.Note), noted}}
}

func serve(name, kind, port string) error {
	number, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	s, err := server.NewServer(server.WithServerNotRegister(), server.WithServerProtocol(protocol.WithProtocol(kind), protocol.WithPort(number)))
	if err != nil {
		return err
	}
	g := &Greeter{name: name}
	options := []server.ServiceOption{server.WithInterface(greeter), server.WithSerialization(constant.Hessian2Serialization)}
	if kind == constant.TriProtocol {
		err = s.Register(g, g.described(), options...)
	} else {
		err = s.RegisterService(g, options...)
	}
	if err != nil {
		return err
	}
	ended := make(chan error)
	go func() { ended <- s.Serve() }()
	go func() {
		io.Copy(io.Discard, os.Stdin)
		ended <- nil
	}()
	fmt.Println("ready")
	return <-ended
}

// consumer is what the interface looks like from here; dubbo-go fills it in.
type consumer struct {
	Greet    func(ctx context.Context, who string) (string, error)     `dubbo:"greet"`
	Attached func(ctx context.Context, key string) (string, error)     `dubbo:"attached"`
	Fail     func(ctx context.Context, message string) (string, error) `dubbo:"fail"`
	Note     func(ctx context.Context, text string) (string, error)    `dubbo:"note"`
	Noted    func(ctx context.Context) (string, error)                 `dubbo:"noted"`
}

// Reference is the interface's name.
func (*consumer) Reference() string { return greeter }

// dial makes a consumer for a URL. Of Triple, dubbo-go fills in none: there the methods' names are taken from a service, and called by them.
func dial(cli *client.Client, url string) (*consumer, error) {
	protocol, _, _ := strings.Cut(url, ":")
	options := []client.ReferenceOption{client.WithURL(url), client.WithProtocol(protocol), client.WithSerialization(constant.Hessian2Serialization), client.WithIDL(constant.NONIDL), client.WithClusterFailFast(), client.WithLoadBalanceRandom()}
	c := &consumer{}
	if protocol != constant.TriProtocol {
		_, err := cli.DialWithService(greeter, c, options...)
		return c, err
	}
	conn, err := cli.DialWithService(greeter, &Greeter{}, options...)
	if err != nil {
		return nil, err
	}
	method := func(name string) func(context.Context, string) (string, error) {
		return func(ctx context.Context, argument string) (string, error) {
			var answer any // Java's exceptions take its place
			if err := conn.CallUnary(ctx, []any{argument}, &answer, name); err != nil {
				return "", err
			}
			if err, is := answer.(error); is {
				return "", err
			}
			return fmt.Sprint(answer), nil
		}
	}
	c.Greet, c.Attached, c.Fail, c.Note = method("Greet"), method("Attached"), method("Fail"), method("Note")
	c.Noted = func(ctx context.Context) (answer string, err error) {
		err = conn.CallUnary(ctx, []any{}, &answer, "Noted")
		return answer, err
	}
	return c, nil
}

// calls makes a few, and says in one line how they ended.
func calls(cli *client.Client, url, text string) (string, error) {
	c, err := dial(cli, url)
	if err != nil {
		return "", err
	}
	ctx := context.WithValue(context.Background(), constant.AttachmentKey, map[string]any{"canary": text})
	said := ""
	for _, q := range []struct {
		name     string
		method   func(context.Context, string) (string, error)
		argument string
	}{{"greet", c.Greet, text}, {"cross", c.Greet, "cross"}, {"attached", c.Attached, "canary"}} {
		answer, err := q.method(ctx, q.argument)
		if err != nil {
			return said, fmt.Errorf("%s: %w", q.name, err)
		}
		said += q.name + "=" + answer + "; "
	}
	_, err = c.Fail(ctx, text)
	if err != nil && strings.Contains(err.Error(), text) {
		said += "threw=it; "
	} else {
		said += fmt.Sprintf("threw=%v; ", err)
	}
	if _, err := c.Note(ctx, text); err != nil {
		return said, fmt.Errorf("note: %w", err)
	}
	noted, err := c.Noted(ctx)
	return said + "noted=" + noted, err
}

func ask() error {
	cli, err := client.NewClient(client.WithClientNoCheck())
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		words := strings.Fields(in.Text())
		said, err := calls(cli, words[0], words[1])
		if err != nil {
			said += " " + err.Error()
		}
		fmt.Println("said", strings.ReplaceAll(said, "\n", " "))
	}
	return nil
}

// load has many sides call greet at once, again and again, with one text and then the next. To each line of input it says who has answered which text since the one before, how often, and how many calls were lost.
func load(url, sides string, texts []string) error {
	n, err := strconv.Atoi(sides)
	if err != nil {
		return err
	}
	cli, err := client.NewClient(client.WithClientNoCheck())
	if err != nil {
		return err
	}
	c, err := dial(cli, url)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	counts := map[string]int{"lost": 0}
	for i := range n {
		go func() {
			for k := i; ; k++ {
				text := texts[k%len(texts)]
				answer, err := c.Greet(context.Background(), text)
				who, _, _ := strings.Cut(answer, " ")
				mu.Lock()
				if err == nil {
					counts[text+"/"+who]++
				} else if counts["lost"]++; counts["lost"] == 1 {
					fmt.Fprintln(os.Stderr, time.Now().Format(time.StampMilli), "lost:", err)
				}
				mu.Unlock()
				time.Sleep(time.Millisecond)
			}
		}()
	}
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var said []string
		mu.Lock()
		for what, n := range counts {
			said = append(said, fmt.Sprint(what, "=", n))
		}
		counts = map[string]int{"lost": 0}
		mu.Unlock()
		slices.Sort(said)
		fmt.Println("said", strings.Join(said, " "))
	}
	return nil
}

func main() {
	var err error
	switch a := os.Args[1:]; {
	case len(a) == 4 && a[0] == "server":
		err = serve(a[1], a[2], a[3])
	case len(a) == 1 && a[0] == "client":
		err = ask()
	case len(a) > 3 && a[0] == "load":
		err = load(a[1], a[2], a[3:])
	default:
		err = errors.New("want: server NAME dubbo|tri PORT, client, or load URL SIDES TEXT...")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
