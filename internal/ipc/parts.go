package ipc

import "unicode/utf8"

// maxPart is how much of one value goes into a row, in bytes: JSON writes a byte with
// up to six, and a row has to fit into a message with what is around it.
const maxPart = 8192

// SplitSettings writes values that are too long for a row into several.
func SplitSettings(list []Setting) []SettingRow {
	out := make([]SettingRow, 0, len(list))
	for _, s := range list {
		for len(s.Value) > maxPart {
			n := maxPart
			for n > maxPart-utf8.UTFMax && !utf8.RuneStart(s.Value[n]) {
				n--
			}
			part := SettingRow{s, true}
			part.Value = s.Value[:n]
			out = append(out, part)
			s.Value = s.Value[n:]
		}
		out = append(out, SettingRow{s, false})
	}
	return out
}

// JoinSettings undoes SplitSettings, once all pages are there.
func JoinSettings(list []SettingRow) []Setting {
	out := make([]Setting, 0, len(list))
	whole := []byte(nil)
	for _, s := range list {
		if s.Part {
			whole = append(whole, s.Value...)
			continue
		}
		if len(whole) > 0 {
			s.Value, whole = string(whole)+s.Value, nil
		}
		out = append(out, s.Setting)
	}
	return out
}
