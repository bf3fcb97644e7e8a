//go:build !vm

package world

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dynamod/internal/unit"
)

// provenIn names the tests of the settings that are no case of a table, because a
// script alone does not show them. Those that end in "InAMachine" need a guest.
var provenIn = map[string]string{
	"AppArmorProfile":         "TestSandboxRefusals",
	"BindLogSockets":          "TestBindLogSocketsInAMachine",
	"ExecPaths":               "TestSandboxSettings",
	"IPCNamespacePath":        "TestNamespacePaths",
	"MountAPIVFS":             "TestRootDirectory",
	"MountImages":             "TestImagesInAMachine",
	"NetworkNamespacePath":    "TestNamespacePaths",
	"RemoveIPC":               "TestRemoveIPC",
	"RestrictFileSystems":     "TestRestrictFileSystemsInAMachine",
	"RootDirectory":           "TestRootDirectory",
	"RootHash":                "TestRootDirectory",
	"RootHashSignature":       "TestImagesInAMachine",
	"RootImage":               "TestImagesInAMachine",
	"RootImageOptions":        "TestImagesInAMachine",
	"RootImagePolicy":         "TestImagesInAMachine",
	"RootVerity":              "TestImagesInAMachine",
	"SELinuxContext":          "TestSandboxRefusals",
	"SmackProcessLabel":       "TestSandboxRefusals",
	"SystemCallArchitectures": "TestOtherArchitecturesInAMachine",
}

// Every sandbox setting that acts has a case: an attempt that fails with it and one
// that works, or a test of its own that names it.
func TestEverySandboxSettingHasACase(t *testing.T) {
	cased := map[string]bool{}
	for _, a := range append(append([]attempt{}, attempts...), guards...) {
		for _, s := range a.settings {
			name, _, _ := strings.Cut(s, "=")
			cased[name] = true
		}
	}
	bodies := testBodies(t)
	for _, s := range unit.Table() {
		if !strings.HasPrefix(s.Native, "sandbox.") || s.Name == "" || s.Effect != unit.ByWorld {
			continue
		}
		test, own := provenIn[s.Name]
		switch body := bodies[test]; {
		case own && body == "":
			t.Errorf("%s=: there is no %s", s.Name, test)
		case own && !cased[s.Name] && !strings.Contains(body, s.Name+"="):
			t.Errorf("%s=: %s does not name it", s.Name, test)
		case !own && !cased[s.Name]:
			t.Errorf("%s= has no case: add one to attempts", s.Name)
		}
	}
	for name := range provenIn {
		if _, ok := unit.LookupDirective("Service", name); !ok {
			t.Errorf("provenIn names %s=, which is no setting", name)
		}
	}
}

var testHead = regexp.MustCompile(`(?m)^func (Test\w+)\(`)

// testBodies are the texts of the tests of this package, with and without tags.
func testBodies(t *testing.T) map[string]string {
	files, err := filepath.Glob("*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("the sources of the tests: %v, %v", files, err)
	}
	out := map[string]string{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		heads := testHead.FindAllStringSubmatchIndex(string(text), -1)
		for i, h := range heads {
			end := len(text)
			if i+1 < len(heads) {
				end = heads[i+1][0]
			}
			out[string(text[h[2]:h[3]])] = string(text[h[0]:end])
		}
	}
	return out
}
