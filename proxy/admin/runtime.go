package admin

import (
	"io"
	"net/http"
)

// RuntimeView are the runtime values as their page shows them.
type RuntimeView struct {
	Layers  []string                 `json:"layers"`
	Entries map[string]*RuntimeEntry `json:"entries"`
}

// RuntimeEntry is one runtime value.
type RuntimeEntry struct {
	LayerValues []string `json:"layer_values"`
	FinalValue  string   `json:"final_value"`
	Unused      bool     `json:"unused,omitempty"` // ours: nothing asks for it
}

func (s *Server) runtime(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.view.Runtime()) }

// maxForm bounds, in bytes, a request's body.
const maxForm = 256 << 10

// runtimeModify sets what the query says, or, without one, the form.
func (s *Server) runtimeModify(w http.ResponseWriter, r *http.Request) {
	values := r.URL.Query()
	if len(values) == 0 {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		values = r.PostForm
	}
	if len(values) == 0 {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, "usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN\n"+
			"       or the same as a form\n"+
			"an empty value takes out what was set here before\n")
		return
	}
	changes := make(map[string]string, len(values))
	for key := range values {
		changes[key] = values.Get(key)
	}
	if err := s.view.SetRuntime(changes); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	io.WriteString(w, "OK\n")
}
