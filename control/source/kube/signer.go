package kube

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const (
	requestsPath = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
	// firstLook and lastLook are how long after a request was made, and then between two, its certificate is looked for.
	firstLook, lastLook = 20 * time.Millisecond, 500 * time.Millisecond
	// leastLife is what an API server asks of a request at least.
	leastLife = 10 * time.Minute
)

// requestObject is a certificates.k8s.io/v1 CertificateSigningRequest, as far as it is read.
type requestObject struct {
	Metadata struct{ Name string }
	Status   struct {
		Certificate string
		Conditions  []struct{ Type, Reason, Message string }
	}
}

// IsSigner says why a name is none of a signer that may sign for workloads. Kubernetes' own sign for users of the API server and for nodes.
func IsSigner(name string) error {
	domain, path, _ := strings.Cut(name, "/")
	if domain == "" || path == "" || !strings.Contains(domain, ".") || len(name) > 571 || strings.ContainsAny(name, " \t\n") { // as an API server has it
		return fmt.Errorf("%.128q is no name of a signer: want DOMAIN/PATH, such as clusterissuers.cert-manager.io/mesh", name)
	}
	if domain == "kubernetes.io" || strings.HasSuffix(domain, ".kubernetes.io") {
		return fmt.Errorf("%s is Kubernetes' own, which signs for users of the API server and for nodes, and for no workloads: want another signer", name)
	}
	return nil
}

// Sign has a signer of the cluster's sign a certificate request, in PEM, and gives what it has signed, in PEM: it makes a CertificateSigningRequest, approves it if it may, waits for
// the certificate until ctx ends, and takes the object away.
func (s *Server) Sign(ctx context.Context, signer string, request []byte, life time.Duration) ([]byte, error) {
	var is requestObject
	in := object{"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": object{"generateName": "weft-"}, "spec": object{
		"request": base64.StdEncoding.EncodeToString(request), "signerName": signer, "expirationSeconds": int(max(life, leastLife) / time.Second),
		"usages": []string{"digital signature", "key encipherment", "server auth", "client auth"}}}
	if err := s.answer(ctx, http.MethodPost, requestsPath, in, &is); err != nil {
		if apierrors.IsForbidden(err) {
			err = fmt.Errorf("%w: a ClusterRole of ours needs {apiGroups: [certificates.k8s.io], resources: [certificatesigningrequests], verbs: [create, get, delete]}", err)
		}
		return nil, err
	}
	path := requestsPath + "/" + is.Metadata.Name
	defer func() { // whatever has come of it
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTime)
		defer cancel()
		var gone object
		s.answer(ctx, http.MethodDelete, path, nil, &gone) // one that stays is taken away by Kubernetes after an hour
	}()
	unapproved := s.approve(ctx, path)
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		for _, c := range is.Status.Conditions {
			if c.Type == "Denied" || c.Type == "Failed" {
				return nil, fmt.Errorf("the CertificateSigningRequest %s is %s: %.128q: %.512q", is.Metadata.Name, strings.ToLower(c.Type), c.Reason, c.Message)
			}
		}
		if is.Status.Certificate != "" {
			return base64.StdEncoding.DecodeString(is.Status.Certificate)
		}
		select {
		case <-ctx.Done():
			why := fmt.Errorf("nobody has signed the CertificateSigningRequest %s of the signer %s in time: is its controller there?", is.Metadata.Name, signer)
			return nil, errors.Join(why, unapproved)
		case <-time.After(pause):
		}
		if err := s.answer(ctx, http.MethodGet, path, nil, &is); err != nil && ctx.Err() == nil {
			return nil, err
		}
	}
}

// approve approves a request. An error says that somebody else has to.
func (s *Server) approve(ctx context.Context, path string) error {
	for {
		var raw object
		err := s.answer(ctx, http.MethodGet, path, nil, &raw)
		if err == nil {
			status, _ := raw["status"].(object)
			if status == nil {
				status = object{}
				raw["status"] = status
			}
			list, _ := status["conditions"].([]any)
			for _, one := range list {
				if c, is := one.(object); is && (c["type"] == "Approved" || c["type"] == "Denied") {
					return nil // by somebody else
				}
			}
			status["conditions"] = append(list, object{"type": "Approved", "status": "True", "reason": "Weftd", "message": "the caller has shown to be who the certificate is of"})
			err = s.answer(ctx, http.MethodPut, path+"/approval", raw, &raw)
		}
		switch {
		case apierrors.IsConflict(err):
			continue
		case apierrors.IsForbidden(err):
			return fmt.Errorf("it is not approved, unless by somebody else: %w: a ClusterRole of ours needs {apiGroups: [certificates.k8s.io], resources: [certificatesigningrequests/approval], verbs: [update]} and {apiGroups: [certificates.k8s.io], resources: [signers], resourceNames: [the signer], verbs: [approve]}", err)
		}
		return err
	}
}
