package kube_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/weftmesh/weft/control/source/kube"
	test "github.com/weftmesh/weft/test/kube"
)

// Whose a token is only the server says, and only of one that is for the audience and whose time is not over.
func TestWhoseATokenIs(t *testing.T) {
	c := test.Start(t)
	for _, one := range [][2]string{{"a", "shop"}, {"a", "gone"}, {"istio-system", "nobody"}} {
		c.Account(one[0], one[1])
	}
	c.Apply(string(kube.Role("weftd", "istio-system", kube.Duties{})))
	connect := func(account string) *kube.Server {
		s, err := kube.Connect(c.KubeconfigOf("istio-system", account), "", "test")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	gone := c.Token("a", "gone", "istio-ca")
	c.Delete("{apiVersion: v1, kind: ServiceAccount, metadata: {namespace: a, name: gone}}")
	good := c.Token("a", "shop", "istio-ca")
	signed := strings.LastIndex(good, ".")
	s := connect("weftd")
	for _, one := range []struct{ what, token, want string }{
		{"a good one", good, ""},
		{"one for several audiences", c.Token("a", "shop", "other", "istio-ca"), ""},
		{"one for another audience", c.Token("a", "shop", "other"), "is not good"},
		{"one for the server itself", c.Token("a", "shop"), "is not good"},
		{"one whose time is over", c.Ended("a", "shop", "istio-ca"), "is not good"},
		{"one of an account that is gone", gone, "is not good"},
		{"another's signature", good[:signed] + c.Token("a", "shop", "other")[strings.LastIndex(good, "."):], "is not good"},
		{"nothing", "", "is not good"},
		{"garbage", "a.b.c", "is not good"},
		{"a large one", strings.Repeat("x", 1<<20), "want at most"},
	} {
		namespace, account, err := s.Review(t.Context(), one.token, "istio-ca")
		switch {
		case one.want == "" && (err != nil || namespace != "a" || account != "shop"):
			t.Errorf("%s: %q %q, %v", one.what, namespace, account, err)
		case one.want != "" && (err == nil || !strings.Contains(err.Error(), one.want) || errors.Is(err, kube.ErrUnreviewed)):
			t.Errorf("%s: %q %q, %v: want %s", one.what, namespace, account, err, one.want)
		}
	}
	// A token of somebody who is no service account, which a server would take for itself.
	admin, err := os.ReadFile(c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	_, token, _ := strings.Cut(string(admin), "token: \"")
	if _, _, err := s.Review(t.Context(), token[:strings.Index(token, `"`)], "istio-ca"); err == nil {
		t.Error("an administrator's token is taken")
	}
	if _, _, err := connect("nobody").Review(t.Context(), good, "istio-ca"); !errors.Is(err, kube.ErrUnreviewed) || !strings.Contains(err.Error(), "resources: [tokenreviews], verbs: [create]") {
		t.Errorf("by somebody who may not: %v", err)
	}
	// Whether an account may read its namespace's Secrets is asked of the server, too.
	if may, err := s.MayReadSecrets(t.Context(), "a", "shop"); may || err != nil {
		t.Errorf("an account without rights: %v, %v", may, err)
	}
	c.Apply(`{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: keys, namespace: a}, rules: [{apiGroups: [""], resources: [secrets], verbs: [get, watch, list]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: keys, namespace: a}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: keys}, subjects: [{kind: ServiceAccount, name: shop, namespace: a}]}`)
	eventually(t, "it may read Secrets", func() bool {
		may, err := s.MayReadSecrets(t.Context(), "a", "shop")
		return may && err == nil
	})
	if may, err := s.MayReadSecrets(t.Context(), "istio-system", "shop"); may || err != nil {
		t.Errorf("an account of another namespace: %v, %v", may, err)
	}
	if _, err := connect("nobody").MayReadSecrets(t.Context(), "a", "shop"); err == nil || !strings.Contains(err.Error(), "resources: [subjectaccessreviews], verbs: [create]") {
		t.Errorf("by somebody who may not ask: %v", err)
	}
	c.Stop()
	if _, _, err := s.Review(t.Context(), good, "istio-ca"); !errors.Is(err, kube.ErrUnreviewed) {
		t.Errorf("without a server: %v", err)
	}
	if may, err := s.MayReadSecrets(t.Context(), "a", "shop"); may || err == nil {
		t.Errorf("without a server: %v, %v", may, err)
	}
}

// TestSigners tells names of signers that may sign for workloads from those of Kubernetes' own.
func TestSigners(t *testing.T) {
	for name, good := range map[string]bool{"issuers.test/mesh": true, "clusterissuers.cert-manager.io/a/b": true, "": false, "mesh": false, "mesh/a": false, "a.b/": false, "/a": false, "a.b/c d": false,
		"kubernetes.io/kube-apiserver-client": false, "kubernetes.io/legacy-unknown": false, "x.kubernetes.io/y": false} {
		if err := kube.IsSigner(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}
