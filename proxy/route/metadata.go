package route

import (
	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/match"
	"github.com/weftmesh/weft/wire/http"
)

// Rules are the rules of routes, for rooms that may not see this one.
type Rules struct{}

// MatchHeaders tells whether all conditions hold.
func (Rules) MatchHeaders(list []config.HeaderMatch, r *http.Request) bool {
	return MatchHeaders(list, r)
}

// MatchMetadata tells whether there is a value, and whether it is what is asked for, whatever Invert says.
func (Rules) MatchMetadata(m *config.MetadataMatch, all config.Metadata) (fits, found bool) {
	return match.Metadata(m, all)
}

func matchMetadata(m *config.MetadataMatch, all config.Metadata) bool {
	fits, _ := match.Metadata(m, all)
	return fits != m.Invert
}

func matchState(m *config.StateMatch, list []config.State) bool {
	for i := range list {
		if list[i].Name == m.Name {
			return match.Text(&m.String, list[i].Value)
		}
	}
	return false
}
