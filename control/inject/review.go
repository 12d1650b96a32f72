package inject

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Review is an AdmissionReview of admission.k8s.io/v1: what an API server asks, and what it is answered.
type Review struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Request    *Request  `json:"request,omitempty"`
	Response   *Response `json:"response,omitempty"`
}

// Request is what an API server asks about an object.
type Request struct {
	UID       string          `json:"uid"`
	Kind      Kind            `json:"kind"`
	Namespace string          `json:"namespace"`
	Name      string          `json:"name"`
	Operation string          `json:"operation"` // CREATE, UPDATE, DELETE or CONNECT
	Object    json.RawMessage `json:"object"`
	DryRun    bool            `json:"dryRun"`
}

// Kind is a kind of object, with its API.
type Kind struct {
	Group   string `json:"group"`
	Version string `json:"version"`
	Kind    string `json:"kind"`
}

// Response is the answer.
type Response struct {
	UID       string   `json:"uid"`
	Allowed   bool     `json:"allowed"`
	Status    *Status  `json:"status,omitempty"`
	Patch     []byte   `json:"patch,omitempty"`
	PatchType string   `json:"patchType,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
}

// Status says why something is not allowed.
type Status struct {
	Code    int    `json:"code"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message"`
}

const reviewVersion = "admission.k8s.io/v1"

// ReadReview reads what an API server asks.
func ReadReview(body []byte) (*Request, error) {
	var r Review
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("inject: is no AdmissionReview: %w", err)
	}
	switch {
	case r.APIVersion != reviewVersion || r.Kind != "AdmissionReview":
		return nil, fmt.Errorf("inject: %.64q %.64q: want an AdmissionReview of %s", r.APIVersion, r.Kind, reviewVersion)
	case r.Request == nil || r.Request.UID == "":
		return nil, errors.New("inject: the AdmissionReview asks nothing: it has no request, or no uid in that")
	}
	return r.Request, nil
}

// Answer writes the answer to a request.
func (r *Request) Answer(a *Response) ([]byte, error) {
	a.UID = r.UID
	a.Warnings = short(a.Warnings)
	return json.Marshal(&Review{APIVersion: reviewVersion, Kind: "AdmissionReview", Response: a})
}

// Allowed lets an object through, as it is.
func Allowed(warnings ...string) *Response { return &Response{Allowed: true, Warnings: warnings} }

// Refused has an object refused: it is not as it has to be.
func Refused(why string, warnings ...string) *Response {
	const most = 8 << 10 // bytes
	if len(why) > most {
		why = strings.ToValidUTF8(why[:most], "") + " …"
	}
	return &Response{Status: &Status{Code: 422, Reason: "Invalid", Message: why}, Warnings: warnings}
}

// Failed has an object refused for no reason of its own.
func Failed(why string) *Response {
	return &Response{Status: &Status{Code: 503, Reason: "ServiceUnavailable", Message: why}}
}

// Pod is the namespace that a pod is to be in, and the pod; false: the request is not about a new pod.
func (r *Request) Pod() (namespace string, is bool) {
	return r.Namespace, r.Operation == "CREATE" && r.Kind.Group == "" && r.Kind.Kind == "Pod"
}

// Decide says what becomes of the pod that a request is about.
func (r *Request) Decide(w *World) (a *Response, skipped string) {
	out, err := Pod(r.Object, w)
	if err != nil {
		return Refused("no sidecar can be put in: " + err.Error()), ""
	}
	a = Allowed(out.Warnings...)
	if len(out.Patch) == 0 {
		return a, out.Skipped
	}
	if a.Patch, err = json.Marshal(out.Patch); err != nil {
		return Failed("inject: " + err.Error()), ""
	}
	a.PatchType = "JSONPatch"
	return a, ""
}

// short cuts warnings down to what Kubernetes passes on: 256 bytes each, 4,096 in all.
func short(list []string) (out []string) {
	const each, most = 256, 4096
	sum := 0
	for _, w := range list {
		if len(w) > each {
			w = strings.ToValidUTF8(w[:each-4], "") + " …"
		}
		if sum += len(w); sum > most {
			break
		}
		out = append(out, w)
	}
	return out
}
