package rules

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// goFiles parses every Go file of the tree, by folder. Generated code is not looked at.
func goFiles(t *testing.T) (*token.FileSet, map[string]map[string]*ast.File) {
	t.Helper()
	set := token.NewFileSet()
	folders := map[string]map[string]*ast.File{}
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if base := d.Name(); base != ".." && strings.HasPrefix(base, ".") || base == "testdata" || base == "bin" {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_gen.go") || strings.HasSuffix(name, ".pb.go") {
			return nil
		}
		file, err := parser.ParseFile(set, name, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(name))
		if err != nil {
			return err
		}
		if folders[rel] == nil {
			folders[rel] = map[string]*ast.File{}
		}
		folders[rel][filepath.Base(name)] = file
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return set, folders
}

func TestEveryRoomSaysWhatItIs(t *testing.T) {
	_, folders := goFiles(t)
	for room, files := range folders {
		docs, program := 0, false
		for name, f := range files {
			if f.Doc != nil && !strings.HasSuffix(name, "_test.go") {
				docs++
			}
			program = program || f.Name.Name == "main"
		}
		if docs != 1 {
			t.Errorf("%s has %d package comments: want one", room, docs)
		}
		if files["doc.go"] == nil && !program {
			t.Errorf("%s has no doc.go", room)
		}
	}
}

var forbiddenRooms = []string{"pkg", "internal", "util", "utils", "common", "types", "core", "helper", "helpers", "misc", "shared", "manager", "base"}

func TestRoomsHaveNamesAndFewFloors(t *testing.T) {
	_, folders := goFiles(t)
	for room := range folders {
		parts := strings.Split(filepath.ToSlash(room), "/")
		if len(parts) > 3 {
			t.Errorf("%s lies deeper than three folders", room)
		}
		for _, p := range parts {
			if slices.Contains(forbiddenRooms, p) {
				t.Errorf("%s: %q says nothing of what is in it", room, p)
			}
		}
	}
}

// forbiddenWords are ends of names that say nothing, or that the glossary of ARCHITECTURE.md has another word for.
var forbiddenWords = []string{"Manager", "Helper", "Util", "Utils", "Impl", "Base"}

func TestTypesHaveNames(t *testing.T) {
	set, folders := goFiles(t)
	for _, files := range folders {
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool {
				if spec, ok := n.(*ast.TypeSpec); ok {
					for _, w := range forbiddenWords {
						if strings.HasSuffix(spec.Name.Name, w) {
							t.Errorf("%s: type %s: %q is not a word of this house", set.Position(spec.Pos()), spec.Name.Name, w)
						}
					}
				}
				return true
			})
		}
	}
}

func TestNothingHappensAtImport(t *testing.T) {
	set, folders := goFiles(t)
	for _, files := range folders {
		for _, f := range files {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s: init(): write a literal list instead", set.Position(fn.Pos()))
				}
			}
		}
	}
}

// unfinished are marks that nobody should leave behind. They are put together here so as not to find themselves.
var unfinished = []string{"TO" + "DO", "FIX" + "ME", "X" + "XX", "not imple" + "mented", "t.Sk" + "ip("}

func TestNothingIsLeftUnfinished(t *testing.T) {
	_, folders := goFiles(t)
	for room, files := range folders {
		for name := range files {
			text, err := os.ReadFile(filepath.Join("..", "..", room, name))
			if err != nil {
				t.Fatal(err)
			}
			for i, line := range strings.Split(string(text), "\n") {
				for _, mark := range unfinished {
					if strings.Contains(line, mark) {
						t.Errorf("%s/%s:%d: %q", room, name, i+1, mark)
					}
				}
			}
		}
	}
}
