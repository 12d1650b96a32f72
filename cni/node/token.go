package node

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"github.com/weftmesh/weft/cni"
)

// token is what the plugin shows to the API server. It is not the agent's own: that ends with the agent's pod, while the next one is not there yet, and may do more.
type token struct {
	text        string
	renew, ends time.Time
}

func (a *Agent) kubeconfig() string { return filepath.Join(a.o.Networks, cni.Name+"-kubeconfig") }

// placeKubeconfig writes by what the plugin asks, with a new token at half of the last one's life.
func (a *Agent) placeKubeconfig(ctx context.Context) error {
	if now := time.Now(); now.After(a.token.renew) {
		t, err := a.newToken(ctx)
		switch {
		case err == nil:
			a.token = t
			a.stats.Inc(tokens)
		case now.After(a.token.ends):
			return fmt.Errorf("a token for the plugin: %w", err)
		default: // what is there is good yet, and the next look asks again
			a.stats.Inc(tokenFailures)
			a.o.Log.Warn("the plugin's token was not renewed", "error", err, "ends", a.token.ends)
		}
	}
	_, err := writeIf(a.kubeconfig(), 0o600, a.o.Server.Kubeconfig(a.token.text))
	if err != nil {
		return fmt.Errorf("the plugin's kubeconfig: %w", err)
	}
	return nil
}

// newToken asks for one of the plugin's account.
func (a *Agent) newToken(ctx context.Context) (t token, err error) {
	q, err := json.Marshal(map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": map[string]any{"expirationSeconds": int64(a.o.TokenLife.Seconds())}})
	if err != nil {
		return t, err
	}
	var answer struct {
		Status struct {
			Token string    `json:"token"`
			Ends  time.Time `json:"expirationTimestamp"`
		} `json:"status"`
	}
	began := time.Now()
	path := "/api/v1/namespaces/" + url.PathEscape(a.o.Namespace) + "/serviceaccounts/" + url.PathEscape(a.o.Account) + "/token"
	if err := a.o.Server.Ask(ctx, http.MethodPost, path, "application/json", q, &answer); err != nil {
		return t, err
	}
	life := answer.Status.Ends.Sub(began)
	if answer.Status.Token == "" || life <= 0 {
		return t, fmt.Errorf("the API server gives none for account %s that is good for a time", a.o.Account)
	}
	return token{answer.Status.Token, began.Add(life / 2), answer.Status.Ends}, nil
}
