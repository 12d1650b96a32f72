package console

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/weftmesh/weft/control/source"
)

// Users are the people of a file, who show who they are by a token, or by one of an OpenID provider that the file names. The file is read again when
// it is another. One that is wrong lets nobody in.
type Users struct {
	path string

	mu      sync.Mutex
	stamp   time.Time
	size    int64
	people  *people
	failure error
}

// people is what the file says.
type people struct {
	byToken map[[sha256.Size]byte]*person
	byName  map[string]*person // of those without a token of their own
	groups  map[string]Grants
	oidc    *provider // nil: there is none
}

type person struct {
	name   string
	grants Grants
}

// usersFile is its form.
type usersFile struct {
	Users []struct {
		Name   string            `yaml:"name"`
		Token  string            `yaml:"tokenSHA256"`
		Grants map[string]string `yaml:"roles"`
	} `yaml:"users"`
	Groups []struct {
		Name   string            `yaml:"name"`
		Grants map[string]string `yaml:"roles"`
	} `yaml:"groups"`
	OIDC *oidcFile `yaml:"oidc"`
}

const maxUsersFile = 1 << 20 // bytes

// OpenUsers reads a file of users.
func OpenUsers(path string) (*Users, error) {
	u := &Users{path: path}
	if _, err := u.now(); err != nil {
		return nil, err
	}
	return u, nil
}

// now is what the file says at this time.
func (u *Users) now() (*people, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	i, err := os.Stat(u.path)
	if err != nil {
		return nil, fmt.Errorf("console: users: %w", err)
	}
	if u.people == nil && u.failure == nil || !i.ModTime().Equal(u.stamp) || i.Size() != u.size || time.Since(i.ModTime()) < settling {
		before := u.people
		u.people, u.failure = u.read()
		u.stamp, u.size = i.ModTime(), i.Size()
		if before != nil && u.people != nil && u.people.oidc != nil && before.oidc != nil && *before.oidc.file == *u.people.oidc.file {
			u.people.oidc = before.oidc // with the keys that it knows
		}
	}
	return u.people, u.failure
}

// settling is how long a file that was just written is read each time: another write in the same tick of the file system's clock leaves no trace.
const settling = 50 * time.Millisecond

func (u *Users) read() (*people, error) {
	f, err := os.Open(u.path)
	if err != nil {
		return nil, fmt.Errorf("console: users: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxUsersFile+1))
	if err != nil {
		return nil, fmt.Errorf("console: users: %w", err)
	}
	if len(data) > maxUsersFile {
		return nil, fmt.Errorf("console: users: %s has more than %d bytes", u.path, maxUsersFile)
	}
	p, err := parseUsers(data)
	if err != nil {
		return nil, fmt.Errorf("console: users: %s: %w", u.path, err)
	}
	return p, nil
}

func parseUsers(data []byte) (*people, error) {
	var f usersFile
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := d.Decode(&struct{}{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("has several documents: want one")
	}
	p := &people{byToken: map[[sha256.Size]byte]*person{}, byName: map[string]*person{}, groups: map[string]Grants{}}
	named := map[string]bool{}
	for i, one := range f.Users {
		at := fmt.Sprintf("users[%d]", i)
		switch {
		case !source.IsAuthor(one.Name):
			return nil, fmt.Errorf("%s.name: %.64q is none: want a word of at most 128 bytes", at, one.Name)
		case named[one.Name]:
			return nil, fmt.Errorf("%s.name: %q is there twice", at, one.Name)
		}
		named[one.Name] = true
		g, err := grantsOf(at, one.Grants)
		if err != nil {
			return nil, err
		}
		who := &person{one.Name, g}
		if one.Token == "" {
			p.byName[one.Name] = who
			continue
		}
		sum, err := hex.DecodeString(one.Token)
		if err != nil || len(sum) != sha256.Size {
			return nil, fmt.Errorf("%s.tokenSHA256: want the SHA-256 of a token, 64 hexadecimal digits, as sha256sum prints it", at)
		}
		key := [sha256.Size]byte(sum)
		switch {
		case p.byToken[key] != nil:
			return nil, fmt.Errorf("%s.tokenSHA256: is the one of %q, too", at, p.byToken[key].name)
		case key == sha256.Sum256(nil):
			return nil, fmt.Errorf("%s.tokenSHA256: is the one of an empty token", at)
		}
		p.byToken[key] = who
	}
	for i, one := range f.Groups {
		at := fmt.Sprintf("groups[%d]", i)
		g, err := grantsOf(at, one.Grants)
		switch {
		case err != nil:
			return nil, err
		case one.Name == "":
			return nil, fmt.Errorf("%s.name: is not said", at)
		case p.groups[one.Name] != nil:
			return nil, fmt.Errorf("%s.name: %q is there twice", at, one.Name)
		}
		p.groups[one.Name] = g
	}
	switch {
	case f.OIDC != nil:
		var err error
		if p.oidc, err = newProvider(f.OIDC); err != nil {
			return nil, fmt.Errorf("oidc.%w", err)
		}
	case len(p.byName) > 0:
		return nil, errors.New("oidc: is missing, and there are users without tokenSHA256, who could not show who they are")
	case len(p.groups) > 0:
		return nil, errors.New("oidc: is missing, and there are groups, in which nobody could be")
	}
	return p, nil
}

func grantsOf(at string, said map[string]string) (Grants, error) {
	g := Grants{}
	for namespace, name := range said {
		r, err := ParseRole(name)
		if err != nil {
			return nil, fmt.Errorf("%s.roles[%q]: %w", at, namespace, err)
		}
		g[namespace] = r
	}
	if len(g) == 0 {
		return nil, fmt.Errorf("%s.roles: are not said: want such as {shop: editor, \"*\": viewer}", at)
	}
	return g, nil
}

// errUnknown is for whoever does not show who he is. It does not say why.
var errUnknown = &refusal{code: 401, text: "nobody knows who asks: want a token that is good, as Authorization: Bearer TOKEN (weftctl --token-file FILE, or WEFT_TOKEN)"}

// who finds out whose token it is. The error that is told to nobody else is why.
func (u *Users) who(ctx context.Context, token string) (*Caller, error) {
	p, err := u.now()
	if err != nil {
		return nil, err
	}
	if token == "" {
		return nil, errors.New("there is no token")
	}
	if one := p.byToken[sha256.Sum256([]byte(token))]; one != nil {
		return &Caller{Name: one.name, Grants: one.grants, By: "token"}, nil
	}
	if p.oidc == nil {
		return nil, errors.New("the token is none of the file's")
	}
	claims, err := p.oidc.verify(ctx, token)
	if err != nil {
		return nil, err
	}
	c := &Caller{Name: claims.name, Grants: Grants{}, By: "oidc " + p.oidc.file.Issuer}
	if one := p.byName[claims.name]; one != nil {
		c.Grants.add(one.grants)
	}
	for _, group := range claims.groups {
		c.Grants.add(p.groups[group])
	}
	return c, nil
}
