package sidecars

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	securityv1alpha1 "istio.io/api/security/v1alpha1"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/rpc"
)

// agents is how many ask for certificates at a time, each on a connection of its own.
const agents = 16

// certify has certificates be issued, of P-256, to who shows the one that he has.
func certify(ctx context.Context, server *config.Cluster, count int) (time.Duration, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return 0, err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return 0, err
	}
	asked := &securityv1alpha1.IstioCertificateRequest{Csr: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request})), ValidityDuration: 24 * 3600}
	var left atomic.Int64
	left.Store(int64(count))
	failures := make([]error, agents)
	began := time.Now()
	var all sync.WaitGroup
	for i := range agents {
		all.Go(func() {
			conn, err := rpc.Dial(ctx, rpc.Of(server, &config.Snapshot{}))
			if err != nil {
				failures[i] = err
				return
			}
			defer conn.Close()
			to := securityv1alpha1.NewIstioCertificateServiceClient(conn)
			for left.Add(-1) >= 0 && failures[i] == nil {
				answer, err := to.CreateCertificate(ctx, asked)
				if err == nil && len(answer.GetCertChain()) < 2 {
					err = errors.New("sidecars: no chain")
				}
				failures[i] = err
			}
		})
	}
	all.Wait()
	return time.Since(began), errors.Join(failures...)
}
