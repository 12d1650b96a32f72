package cni

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Server is a Kubernetes API server, asked by plain HTTP: the few questions that there are need no library, of which the data plane has none.
type Server struct {
	URL    string                 // without a slash at the end
	CA     []byte                 // PEM: by whom it is believed
	Token  func() (string, error) // shown with each question
	client *http.Client
}

// Dial prepares questions to a server.
func Dial(address string, ca []byte, token func() (string, error)) (*Server, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("there is no certificate by which the API server is believed")
	}
	if u, err := url.Parse(address); err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%.128q is no address of an API server: want https://HOST:PORT", address)
	}
	return &Server{URL: strings.TrimSuffix(address, "/"), CA: ca, Token: token, client: &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: oneQuestion, ResponseHeaderTimeout: oneQuestion},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the token is for this server
	}}, nil
}

// Bounds of questions.
const (
	oneQuestion = 5 * time.Second
	pause       = 250 * time.Millisecond // between two of the plugin's, and longer each time
	longPause   = 2 * time.Second
	maxAnswer   = 64 << 20 // bytes: all pods of a node, each of up to 1.5 MB
)

// Refusal is an answer of a server that is none of those of success.
type Refusal struct {
	Code int
	Text string
}

func (r *Refusal) Error() string { return fmt.Sprintf("the API server answers %d: %s", r.Code, r.Text) }

// Ask asks for a path of the server, and reads the answer into out, if there is one. A refusal is a *Refusal.
func (s *Server) Ask(ctx context.Context, method, path, contentType string, body []byte, out any) error {
	ctx, cancel := context.WithTimeout(ctx, oneQuestion)
	defer cancel()
	a, err := s.Open(ctx, method, path, contentType, body)
	if err != nil {
		return err
	}
	defer a.Close()
	text, err := io.ReadAll(io.LimitReader(a, maxAnswer+1))
	if err == nil && len(text) > maxAnswer {
		err = fmt.Errorf("more than %d MB", maxAnswer>>20)
	}
	if err == nil && out != nil {
		err = json.Unmarshal(text, out)
	}
	if err != nil {
		return fmt.Errorf("the API server's answer: %w", err)
	}
	return nil
}

// Open asks as Ask does, for an answer that is read as it comes.
func (s *Server) Open(ctx context.Context, method, path, contentType string, body []byte) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, method, s.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	token, err := s.Token()
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Accept", "application/json")
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	a, err := s.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("the API server does not answer: %w", err)
	}
	if a.StatusCode/100 == 2 {
		return a.Body, nil
	}
	defer a.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(a.Body, 4<<10))
	var said struct{ Message string }
	if json.Unmarshal(text, &said) != nil || said.Message == "" {
		said.Message = http.StatusText(a.StatusCode)
	}
	return nil, &Refusal{a.StatusCode, said.Message}
}

// pod is the one of that name and identity, asked for until the context ends: a server may come back, and an older pod of the same name go.
func (s *Server) pod(ctx context.Context, space, name, uid string) (*Pod, error) {
	wait := pause
	for {
		p := &Pod{}
		err := s.Ask(ctx, http.MethodGet, "/api/v1/namespaces/"+url.PathEscape(space)+"/pods/"+url.PathEscape(name), "", nil, p)
		if err == nil && uid != "" && p.Metadata.UID != uid && p.Metadata.Annotations[staticPod] != uid {
			err = fmt.Errorf("the API server has another pod of that name (%s, and not %s)", p.Metadata.UID, uid)
		}
		if err == nil {
			return p, nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, err
		}
		wait = min(2*wait, longPause)
	}
}

// staticPod is the annotation by which a pod of a node's own file has the identity that the kubelet gives it.
const staticPod = "kubernetes.io/config.hash"

// kubeconfig is as much of one as is written and read: JSON, which is YAML.
type kubeconfig struct {
	APIVersion string           `json:"apiVersion"`
	Kind       string           `json:"kind"`
	Current    string           `json:"current-context"`
	Clusters   []namedCluster   `json:"clusters"`
	Users      []namedUser      `json:"users"`
	Contexts   []map[string]any `json:"contexts"`
}

type namedCluster struct {
	Name    string `json:"name"`
	Cluster struct {
		Server string `json:"server"`
		CA     string `json:"certificate-authority-data"`
	} `json:"cluster"`
}

type namedUser struct {
	Name string `json:"name"`
	User struct {
		Token string `json:"token"`
	} `json:"user"`
}

// Kubeconfig is a file by which the server is asked with a token.
func (s *Server) Kubeconfig(token string) []byte {
	k := kubeconfig{APIVersion: "v1", Kind: "Config", Current: Name, Clusters: make([]namedCluster, 1), Users: make([]namedUser, 1),
		Contexts: []map[string]any{{"name": Name, "context": map[string]string{"cluster": Name, "user": Name}}}}
	k.Clusters[0].Name, k.Users[0].Name = Name, Name
	k.Clusters[0].Cluster.Server, k.Clusters[0].Cluster.CA = s.URL, base64.StdEncoding.EncodeToString(s.CA)
	k.Users[0].User.Token = token
	text, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		panic("cni: " + err.Error()) // they are words
	}
	return append(text, '\n')
}

// ReadKubeconfig is who is asked by a file that Kubeconfig has made.
func ReadKubeconfig(path string) (*Server, error) {
	wrong := func(err error) error {
		return fmt.Errorf("the kubeconfig %s, which weft node writes: %w: see whether its pod on this node is ready", path, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, wrong(err)
	}
	var k kubeconfig
	if err := json.Unmarshal(text, &k); err != nil {
		return nil, wrong(err)
	}
	if len(k.Clusters) != 1 || len(k.Users) != 1 || k.Users[0].User.Token == "" {
		return nil, wrong(errors.New("want one cluster, and one user with a token"))
	}
	ca, err := base64.StdEncoding.DecodeString(k.Clusters[0].Cluster.CA)
	if err != nil {
		return nil, wrong(err)
	}
	token := k.Users[0].User.Token
	s, err := Dial(k.Clusters[0].Cluster.Server, ca, func() (string, error) { return token, nil })
	if err != nil {
		return nil, wrong(err)
	}
	return s, nil
}
