package batch

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A secret is only ever in vector registers and in memory that these are read from and written to: no general register, and so no address
// and no branch, gets anything but arguments and what is computed of them. Then the time that the assembly takes cannot tell of a secret
// (multiplication of vectors takes the same for all values).
func TestBranchesAreOnCountersAlone(t *testing.T) {
	b, err := os.ReadFile("kernel_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	general := `(?:[ABCD]X|[SD]I|BP|R(?:8|9|1[0-5]))`
	argument := regexp.MustCompile(`^\w+\+\d+\(FP\)$`)
	isGeneral := regexp.MustCompile(`^` + general + `$`)
	isVector := regexp.MustCompile(`^(?:[YZ]\d+|K[1-7])$`) // a mask is made by comparing vectors, and chooses between them
	isMemory := regexp.MustCompile(`^-?\d*\(` + general + `\)(?:\(` + general + `\*[1248]\))?$`)
	constant := regexp.MustCompile(`^\$(?:0x[0-9a-f]+|[+-]?\d+)$`)
	jumps, moves := 0, 0
	for n, line := range strings.Split(string(b), "\n") {
		line, _, _ = strings.Cut(line, "//")
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "" || strings.HasSuffix(name, ":") || strings.HasPrefix(name, "#") || name == "TEXT" {
			continue
		}
		var operands []string
		for _, o := range strings.Split(rest, ", ") {
			operands = append(operands, strings.TrimSpace(o))
		}
		last := operands[len(operands)-1]
		switch {
		case name == "JNZ" || name == "JZ" || name == "JNE" || name == "JE":
			jumps++
		case name == "RET" || name == "VZEROUPPER":
		case name[0] == 'V':
			for _, o := range operands {
				if !isVector.MatchString(o) && !isMemory.MatchString(o) && !constant.MatchString(o) {
					t.Errorf("line %d: %s moves between vectors and something else: %s", n+1, name, o)
				}
			}
		case name == "LEAQ":
			if !isMemory.MatchString(operands[0]) || !isGeneral.MatchString(last) {
				t.Errorf("line %d: %s", n+1, line)
			}
		default:
			moves++
			for _, o := range operands {
				if !isGeneral.MatchString(o) && !constant.MatchString(o) && !(name == "MOVQ" && argument.MatchString(o)) {
					t.Errorf("line %d: %s reads %s into a general register", n+1, name, o)
				}
			}
		}
	}
	if jumps < 25 || moves < 120 {
		t.Errorf("%d jumps and %d moves: this is not what it was written for", jumps, moves)
	}
}

// What is committed is what the generator makes.
func TestGeneratedIsFresh(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("go", "run", "./gen", "-out", filepath.Join(dir, "kernel_amd64.s"), "-stubs", filepath.Join(dir, "kernel_amd64.go"), "-pkg", "batch").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"kernel_amd64.s", "kernel_amd64.go"} {
		if withoutHeader(t, filepath.Join(dir, name)) != withoutHeader(t, name) {
			t.Errorf("%s is not what gen makes: run go generate ./tls/batch", name)
		}
	}
}

// withoutHeader is a file without its first line, which names the command.
func withoutHeader(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "\n")
	return rest
}
