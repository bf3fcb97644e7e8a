package api

// attentive is hardware that hears keyboards for Ctrl+Alt+Shift+Esc, or leaves them alone.
type attentive interface{ Attend(on bool) }

func (h machine) Attend(on bool) { h.m.Attend(on) }

// attend has the keys heard if they mean something. s.mu is not held: the hardware may be
// about to tell something.
func (s *Server) attend() {
	if h, ok := s.hardware.(attentive); ok {
		settings := s.config()
		h.Attend(settings.Do["HandleSecureAttentionKey"] != "ignore")
	}
}
