// Package smtpsink is a mail server that keeps what it is sent: it speaks SMTP with STARTTLS, TLS from the first byte and AUTH as
// real ones do, and can be told to refuse.
package smtpsink

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/textproto"
	"strings"
	"sync"
	"time"
)

// Mail is one that was accepted.
type Mail struct {
	From string
	To   []string
	At   time.Time
	User string // who had authenticated
	TLS  bool   // it came over an encrypted connection
	Raw  []byte
}

// Options say what a server demands.
type Options struct {
	User, Password string // both or none; asked for over TLS only
	Implicit       bool   // TLS from the first byte
	Plain          bool   // no TLS at all
}

// Server keeps mails in memory.
type Server struct {
	opts Options
	cert tls.Certificate
	// CA is the certificate in PEM that the server's can be held to.
	CA []byte

	mu     sync.Mutex
	mails  []Mail
	refuse func(verb, argument string) string // the reply to a command, "" to go on
	after  func(Mail)
	ln     net.Listener
}

// New makes a server that does not listen yet.
func New(o Options) (*Server, error) {
	cert, pem, err := certificate()
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	return &Server{opts: o, cert: cert, CA: pem}, nil
}

// Listen serves on a port of loopback, until Close; "" takes any. It returns the address.
func (s *Server) Listen(address string) (string, error) {
	if address == "" {
		address = "127.0.0.1:0"
	}
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	s.ln = ln
	s.mu.Unlock()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go s.Serve(c)
		}
	}()
	return ln.Addr().String(), nil
}

// Close stops listening.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ln == nil {
		return nil
	}
	return s.ln.Close()
}

// Refuse has each command answered by reply, unless that gives "".
func (s *Server) Refuse(reply func(verb, argument string) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = reply
}

// After has do called when a mail is kept, before the client is told so.
func (s *Server) After(do func(Mail)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.after = do
}

// Mails are those that were accepted, in their order.
func (s *Server) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Mail(nil), s.mails...)
}

// session is one connection.
type session struct {
	*Server
	conn net.Conn
	text *textproto.Conn
	tls  bool
	user string
	mail Mail
}

// Serve speaks with one client until it leaves.
func (s *Server) Serve(conn net.Conn) {
	defer conn.Close()
	x := &session{Server: s, conn: conn}
	if s.opts.Implicit && x.encrypt() != nil {
		return
	}
	x.text = textproto.NewConn(x.conn)
	x.say("220 sink.example.org ESMTP")
	for {
		line, err := x.text.ReadLine()
		if err != nil {
			return
		}
		verb, argument, _ := strings.Cut(line, " ")
		if !x.answer(strings.ToUpper(verb), argument) {
			return
		}
	}
}

func (x *session) encrypt() error {
	t := tls.Server(x.conn, &tls.Config{Certificates: []tls.Certificate{x.cert}, MinVersion: tls.VersionTLS12})
	if err := t.Handshake(); err != nil {
		return err
	}
	x.conn, x.tls, x.text = t, true, textproto.NewConn(t)
	return nil
}

func (x *session) say(line string) bool { return x.text.PrintfLine("%s", line) == nil }

// answer does one command, and reports whether there is more to come.
func (x *session) answer(verb, argument string) bool {
	x.mu.Lock()
	refuse := x.refuse
	x.mu.Unlock()
	if refuse != nil {
		if reply := refuse(verb, argument); reply != "" {
			return x.say(reply)
		}
	}
	switch verb {
	case "EHLO", "HELO":
		return x.hello()
	case "STARTTLS":
		return !x.tls && x.say("220 go on") && x.encrypt() == nil
	case "AUTH":
		return x.auth(argument)
	case "MAIL":
		if x.opts.User != "" && x.user == "" {
			return x.say("530 authenticate first")
		}
		x.mail = Mail{From: address(argument)}
		return x.say("250 ok")
	case "RCPT":
		x.mail.To = append(x.mail.To, address(argument))
		return x.say("250 ok")
	case "DATA":
		return x.data()
	case "RSET", "NOOP":
		return x.say("250 ok")
	case "QUIT":
		x.say("221 bye")
		return false
	}
	return x.say("502 not known")
}

func (x *session) hello() bool {
	lines := []string{"sink.example.org", "8BITMIME"}
	if !x.tls && !x.opts.Plain {
		lines = append(lines, "STARTTLS")
	}
	if x.opts.User != "" && (x.tls || x.opts.Plain) {
		lines = append(lines, "AUTH PLAIN LOGIN")
	}
	for i, l := range lines {
		mark := "-"
		if i == len(lines)-1 {
			mark = " "
		}
		if !x.say("250" + mark + l) {
			return false
		}
	}
	return true
}

func (x *session) auth(argument string) bool {
	kind, first, _ := strings.Cut(argument, " ")
	if !strings.EqualFold(kind, "PLAIN") {
		return x.say("504 PLAIN only")
	}
	if first == "" {
		if !x.say("334 ") {
			return false
		}
		first, _ = x.text.ReadLine()
	}
	given, err := base64.StdEncoding.DecodeString(first)
	if err != nil || string(given) != "\x00"+x.opts.User+"\x00"+x.opts.Password {
		return x.say("535 wrong name or password")
	}
	x.user = x.opts.User
	return x.say("235 welcome")
}

func (x *session) data() bool {
	if len(x.mail.To) == 0 {
		return x.say("503 for whom?")
	}
	if !x.say("354 go on") {
		return false
	}
	raw, err := io.ReadAll(x.text.DotReader())
	if err != nil {
		return false
	}
	x.mail.Raw, x.mail.At, x.mail.User, x.mail.TLS = raw, time.Now(), x.user, x.tls
	x.mu.Lock()
	x.mails = append(x.mails, x.mail)
	after := x.after
	x.mu.Unlock()
	if after != nil {
		after(x.mail)
	}
	return x.say("250 kept")
}

// address is what stands between < and >.
func address(argument string) string {
	_, rest, _ := strings.Cut(argument, "<")
	box, _, _ := strings.Cut(rest, ">")
	return box
}

// Header is a header of the mail, decoded.
func (m Mail) Header(name string) string {
	msg, err := mail.ReadMessage(bytes.NewReader(m.Raw))
	if err != nil {
		return ""
	}
	text, err := new(mime.WordDecoder).DecodeHeader(msg.Header.Get(name))
	if err != nil {
		return msg.Header.Get(name)
	}
	return text
}

// Part is the mail's text of a type such as text/plain, decoded, or "".
func (m Mail) Part(kind string) string {
	msg, err := mail.ReadMessage(bytes.NewReader(m.Raw))
	if err != nil {
		return ""
	}
	return part(textproto.MIMEHeader(msg.Header), msg.Body, kind)
}

func part(h textproto.MIMEHeader, body io.Reader, kind string) string {
	is, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return ""
	}
	if strings.HasPrefix(is, "multipart/") {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			p, err := parts.NextRawPart()
			if err != nil {
				return ""
			}
			if text := part(p.Header, p, kind); text != "" {
				return text
			}
		}
	}
	if is != kind {
		return ""
	}
	switch strings.ToLower(h.Get("Content-Transfer-Encoding")) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, bufio.NewReader(body))
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}
