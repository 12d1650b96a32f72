package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const (
	// maxToken bounds, in bytes, a token that is asked about. One of Kubernetes' own has a thousand.
	maxToken = 16 << 10
	// maxReviews are asked about at a time: whoever may connect to us can have us ask.
	maxReviews = 16
	reviewTime = 10 * time.Second
)

// ErrUnreviewed says that nobody could be asked whose a token is.
var ErrUnreviewed = errors.New("control/source/kube: the API server could not be asked whose the token is")

// Review asks whose token one is that is for an audience: a service account of a namespace. Nothing of what the token says is believed, and no answer is
// kept, so that a token counts for nothing as soon as its Pod or its account is deleted. An error that is an ErrUnreviewed says nothing about the token.
func (s *Server) Review(ctx context.Context, token, audience string) (namespace, account string, err error) {
	if token == "" {
		return "", "", errNotGood(audience)
	}
	if len(token) > maxToken {
		return "", "", fmt.Errorf("control/source/kube: a token of %d bytes: want at most %d", len(token), maxToken)
	}
	s.count(asked, 1)
	defer func() {
		if errors.Is(err, ErrUnreviewed) {
			s.count(unasked, 1)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, reviewTime)
	defer cancel()
	select {
	case s.reviews <- struct{}{}:
		defer func() { <-s.reviews }()
	case <-ctx.Done():
		return "", "", fmt.Errorf("%w: %d others are being asked about", ErrUnreviewed, maxReviews)
	}
	type spec struct {
		Token     string   `json:"token"`
		Audiences []string `json:"audiences"`
	}
	in := struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Spec       spec   `json:"spec"`
	}{"authentication.k8s.io/v1", "TokenReview", spec{token, []string{audience}}}
	var out struct {
		Status struct {
			Authenticated bool
			Error         string
			Audiences     []string
			User          struct{ Username string }
		}
	}
	if err := s.answer(ctx, http.MethodPost, "/apis/authentication.k8s.io/v1/tokenreviews", in, &out); err != nil {
		if apierrors.IsForbidden(err) {
			err = fmt.Errorf(`%w: a ClusterRole of ours needs {apiGroups: ["authentication.k8s.io"], resources: [tokenreviews], verbs: [create]}`, err)
		}
		return "", "", fmt.Errorf("%w: %w", ErrUnreviewed, err)
	}
	switch a := &out.Status; {
	case !a.Authenticated:
		return "", "", errNotGood(audience)
	case !slices.Contains(a.Audiences, audience): // a server that does not know audiences takes tokens for anything
		return "", "", fmt.Errorf("control/source/kube: the token is for %q: want the audience %q", a.Audiences, audience)
	}
	parts := strings.Split(out.Status.User.Username, ":")
	if len(parts) != 4 || parts[0] != "system" || parts[1] != "serviceaccount" {
		return "", "", fmt.Errorf("control/source/kube: the token is of %q: want one of a service account", out.Status.User.Username)
	}
	return parts[2], parts[3], nil
}

func errNotGood(audience string) error {
	return errors.New("control/source/kube: the token is not good: want one of a service account of this cluster, for the audience " + audience + ", whose time is not over")
}

// MayReadSecrets asks whether a service account may list the Secrets of its namespace: who may not is told no keys by way of a proxy either. An error says nothing
// about it.
func (s *Server) MayReadSecrets(ctx context.Context, namespace, account string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, reviewTime)
	defer cancel()
	select {
	case s.reviews <- struct{}{}:
		defer func() { <-s.reviews }()
	case <-ctx.Done():
		return false, fmt.Errorf("control/source/kube: whether an account may read Secrets: %d others are being asked about", maxReviews)
	}
	type attributes struct {
		Namespace string `json:"namespace"`
		Verb      string `json:"verb"`
		Resource  string `json:"resource"`
		Version   string `json:"version"`
	}
	type spec struct {
		User       string     `json:"user"`
		Groups     []string   `json:"groups"`
		Attributes attributes `json:"resourceAttributes"`
	}
	in := struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Spec       spec   `json:"spec"`
	}{"authorization.k8s.io/v1", "SubjectAccessReview", spec{
		"system:serviceaccount:" + namespace + ":" + account, []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
		attributes{namespace, "list", "secrets", "v1"},
	}}
	var out struct{ Status struct{ Allowed bool } }
	if err := s.answer(ctx, http.MethodPost, "/apis/authorization.k8s.io/v1/subjectaccessreviews", in, &out); err != nil {
		if apierrors.IsForbidden(err) {
			err = fmt.Errorf(`%w: a ClusterRole of ours needs {apiGroups: ["authorization.k8s.io"], resources: [subjectaccessreviews], verbs: [create]}`, err)
		}
		return false, fmt.Errorf("control/source/kube: whether an account may read Secrets: %w", err)
	}
	return out.Status.Allowed, nil
}
