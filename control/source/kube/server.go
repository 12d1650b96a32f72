package kube

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/weftmesh/weft/telemetry"
)

// InCluster is what names, in the place of a kubeconfig, the service account of the Pod that this process runs in.
const InCluster = "in-cluster"

// nameInCluster is what Istio calls a cluster that nobody has named.
const nameInCluster = "Kubernetes"

// Server is an API server that can be asked.
type Server struct {
	Name    string // of the cluster: the context's, or "Kubernetes" from inside
	URL     string
	Stats   *telemetry.Values // of Stats; nil: nothing is counted. It is set before anything is asked
	client  *http.Client
	reviews chan struct{} // has room for those who are asked about at a time
}

// Connect reads how an API server is reached: from a kubeconfig, of a context or else of its current one; or InCluster. It asks nothing yet.
func Connect(kubeconfig, contextName, agent string) (*Server, error) {
	var config *rest.Config
	name := nameInCluster
	if kubeconfig == InCluster {
		if contextName != "" {
			return nil, fmt.Errorf("control/source/kube: from inside a cluster there is no context %q: want a kubeconfig with it", contextName)
		}
		var err error
		if config, err = rest.InClusterConfig(); err != nil {
			return nil, fmt.Errorf("control/source/kube: this is no Pod with a service account: %w", err)
		}
	} else {
		// Nothing takes the place of what the file does not say, such as the service account of a Pod.
		raw, err := clientcmd.LoadFromFile(kubeconfig)
		if err == nil {
			err = clientcmd.ResolveLocalPaths(raw)
		}
		if err == nil {
			config, err = clientcmd.NewNonInteractiveClientConfig(*raw, contextName, nil, nil).ClientConfig()
		}
		if err != nil {
			return nil, fmt.Errorf("control/source/kube: %s: %w", kubeconfig, err)
		}
		if name = contextName; name == "" {
			name = raw.CurrentContext
		}
	}
	return serverOf(name, config, agent)
}

// What is waited for, and read.
const (
	headTime    = 30 * time.Second // until an answer begins. Afterwards a connection that is dead is found by pings, which client-go sends each 30 s
	maxRefusal  = 64 << 10         // bytes of an answer that says no
	maxAnswer   = 4 << 20          // of an answer about one object: an API server keeps 1.5 MB of one
	jsonContent = "application/json"
	// onlyMetadata asks for nothing else of an object, or of those of a list or a watch.
	onlyHead  = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
	onlyHeads = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
)

// stream is the body of an answer. To close it ends the question.
type stream struct {
	io.ReadCloser
	end context.CancelFunc
}

func (s stream) Close() error {
	s.end()
	return s.ReadCloser.Close()
}

// errSilent is why a question ends whose answer does not begin.
var errSilent = fmt.Errorf("no answer has begun in %v", headTime)

// question is what an API server is asked.
type question struct {
	method, path string
	query        url.Values
	accept       string // what is to be told; empty: JSON
	kind         string // of the body; empty: JSON
	body         []byte
}

// ask asks an API server. What it says no to is an *apierrors.StatusError; another error says that it was not reached.
func (s *Server) ask(ctx context.Context, about question) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	end := func() { cancel(context.Canceled) }
	late := time.AfterFunc(headTime, func() { cancel(errSilent) })
	target := s.URL + about.path
	if len(about.query) > 0 {
		target += "?" + about.query.Encode()
	}
	q, err := http.NewRequestWithContext(ctx, about.method, target, bytes.NewReader(about.body))
	if err != nil {
		end()
		return nil, err
	}
	q.Header.Set("Accept", cmp.Or(about.accept, jsonContent))
	if len(about.body) > 0 {
		q.Header.Set("Content-Type", cmp.Or(about.kind, jsonContent))
	}
	a, err := s.client.Do(q)
	if !late.Stop() && err != nil && errors.Is(context.Cause(ctx), errSilent) {
		err = errSilent
	}
	if err != nil {
		end()
		if u := (*url.Error)(nil); errors.As(err, &u) { // what was asked, with all its settings, says nothing to people
			err = u.Err
		}
		return nil, err
	}
	if a.StatusCode/100 == 2 {
		return stream{a.Body, end}, nil
	}
	defer end()
	defer a.Body.Close()
	if a.StatusCode/100 == 3 {
		return nil, &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: int32(a.StatusCode),
			Message: fmt.Sprintf("the server sends on to %.128q, where nobody goes: want the address of the API server itself", a.Header.Get("Location"))}}
	}
	text, _ := io.ReadAll(io.LimitReader(a.Body, maxRefusal))
	var status metav1.Status
	if json.Unmarshal(text, &status) == nil && status.Code != 0 {
		return nil, &apierrors.StatusError{ErrStatus: status}
	}
	return nil, apierrors.NewGenericServerResponse(a.StatusCode, about.method, schema.GroupResource{}, about.path, strings.TrimSpace(string(text)), 0, true)
}

// answer is ask for one object.
func (s *Server) answer(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	from, err := s.ask(ctx, question{method: method, path: path, body: body})
	if err != nil {
		return err
	}
	defer from.Close()
	text, err := io.ReadAll(io.LimitReader(from, maxAnswer+1))
	if err != nil {
		return err
	}
	if len(text) > maxAnswer {
		return fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	return json.Unmarshal(text, out)
}

// Call asks for anything. What the server says no to is an error with the status of HTTP that it says so with; no status: it was not reached.
func (s *Server) Call(ctx context.Context, method, path string, query url.Values, body []byte) (io.ReadCloser, int, error) {
	answer, err := s.ask(ctx, question{method: method, path: path, query: query, body: body})
	var said *apierrors.StatusError
	switch {
	case err == nil:
		return answer, http.StatusOK, nil
	case errors.As(err, &said):
		return nil, int(said.ErrStatus.Code), err
	}
	return nil, 0, err
}
