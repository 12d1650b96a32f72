package main

import (
	"os"
	"path/filepath"
	"testing"
)

// The code that is committed is what the files say: make gen writes it.
func TestFresh(t *testing.T) {
	code, err := generate("..", []string{"dubbo/v1/dubbo.proto"})
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range code {
		if is, err := os.ReadFile(filepath.Join("..", path)); err != nil || string(is) != text {
			t.Errorf("%s is not what its proto file says (%v): run make gen", path, err)
		}
	}
}
