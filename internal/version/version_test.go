package version

import "testing"

// The example row of the UAPI version format specification, and some of ours.
func TestCompare(t *testing.T) {
	rising := []string{"~~", "~", "", "-", "^", "0", "0.a", "00.0.1", "1~rc1", "1-1", "1^1", "1.a", "1.1", "1.01.5", "1.2~rc", "1.2", "1.2a", "1.10", "11", "12.x", "123.4"}
	for i, a := range rising {
		for j, b := range rising {
			if got, want := Compare(a, b), sign(i-j); got != want {
				t.Errorf("Compare(%q, %q) = %d, want %d", a, b, got, want)
			}
		}
	}
	for _, c := range [][2]string{{"1.0", "1.00"}, {"1_2", "1_2"}, {"1.2+", "1.2"}, {"007", "7"}} {
		if got := Compare(c[0], c[1]); got != 0 {
			t.Errorf("%q and %q differ: %d", c[0], c[1], got)
		}
	}
}

func FuzzCompare(f *testing.F) {
	f.Add("1.2~rc1", "1.2-3^x")
	f.Add("0a", "a0")
	f.Fuzz(func(t *testing.T, a, b string) {
		if Compare(a, b) != -Compare(b, a) {
			t.Errorf("%q and %q have no order", a, b)
		}
		if Compare(a, a) != 0 {
			t.Errorf("%q is not itself", a)
		}
	})
}
