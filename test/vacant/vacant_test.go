package vacant

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
)

// helper has this program, run again, print ports and wait, as a test beside this one would.
const helper = "WEFT_VACANT_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helper) != "" {
		ports, err := Find(size + 1)
		if err != nil {
			panic(err)
		}
		json.NewEncoder(os.Stdout).Encode(ports)
		os.Stdin.Read(make([]byte, 1)) // until the other one has had its own
		return
	}
	os.Exit(m.Run())
}

// TestNobodyElseHasThem has three processes take more than a block each, at the same time.
func TestNobodyElseHasThem(t *testing.T) {
	owner := map[int]string{}
	note := func(who string, ports []int) {
		for _, p := range ports {
			if owner[p] != "" {
				t.Errorf("%d is %s's and %s's", p, owner[p], who)
			}
			owner[p] = who
		}
	}
	for i := range 2 {
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), helper+"=1")
		in, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { in.Close(); c.Wait() })
		var ports []int
		if err := json.NewDecoder(out).Decode(&ports); err != nil {
			t.Fatal(err)
		}
		note(fmt.Sprint("helper ", i), ports)
	}
	note("this", Ports(t, size+1))
	note("this, later,", Ports(t, 1))
	if len(owner) != 3*(size+1)+1 {
		t.Errorf("%d ports", len(owner))
	}
}

// TestWhatIsBoundIsNotGiven binds the one that would be next.
func TestWhatIsBoundIsNotGiven(t *testing.T) {
	next := Ports(t, 1)[0] + 1
	if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", next)); err == nil {
		defer l.Close()
	}
	if got := Ports(t, 1)[0]; got == next {
		t.Errorf("%d is given, which is bound", got)
	}
}
