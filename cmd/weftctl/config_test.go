package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestConfiguration(t *testing.T) {
	golden(t, "bootstrap.yaml", bootstrap("folder with spaces/routes.yaml", 8001, 8002))
	golden(t, "routes.yaml", routeFile(2, weights{90, 10}))
}

func TestReplaceLeavesOneFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "routes.yaml")
	for _, text := range []string{"first", "second"} {
		if err := replace(path, text); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Fatalf("the file holds %q (%v): want %q", got, err, text)
		}
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("the folder holds %v: want the one file", files)
	}
	if err := replace(filepath.Join(dir, "absent", "routes.yaml"), "x"); err == nil {
		t.Error("writing into a folder that is not there is no error")
	}
}
