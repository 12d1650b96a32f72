package admin

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/pprof"
)

// cpuProfiler starts or ends writing a profile, for go tool pprof.
func (s *Server) cpuProfiler(w http.ResponseWriter, r *http.Request) {
	s.profiling.Lock()
	defer s.profiling.Unlock()
	switch r.URL.Query().Get("enable") {
	case "y":
		if s.profile != nil {
			break // as Envoy: to begin again changes nothing
		}
		f, err := os.Create(s.view.Profile)
		if err == nil {
			if err = pprof.StartCPUProfile(f); err != nil {
				f.Close()
			}
		}
		if err != nil {
			http.Error(w, fmt.Sprintf("failure to start the profiler: %v; admin.profile_path of the bootstrap says where it writes", err), http.StatusInternalServerError)
			return
		}
		s.profile = f
	case "n":
		if err := s.endProfile(); err != nil {
			http.Error(w, fmt.Sprintf("failure to write the profile: %v", err), http.StatusInternalServerError)
			return
		}
	default:
		http.Error(w, "?enable=<y|n>", http.StatusBadRequest)
		return
	}
	io.WriteString(w, "OK\n")
}

// endProfile ends the profile that is being written, if there is one. The caller holds the lock.
func (s *Server) endProfile() error {
	if s.profile == nil {
		return nil
	}
	pprof.StopCPUProfile()
	f := s.profile
	s.profile = nil
	return f.Close()
}
