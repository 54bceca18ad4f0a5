package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"holdfast/internal/config"
	"holdfast/internal/problem"
)

// mailWay sends to one recipient, so that one who is refused keeps nothing from the others.
type mailWay struct {
	t   *Teller
	cfg config.Mail
	to  string
}

// mailTimeout bounds all that is said with a mail server about one mail.
const mailTimeout = time.Minute

func (w *mailWay) name() string { return "mail:" + w.to }

func (w *mailWay) send(ctx context.Context, m message) error {
	msg, err := w.message(m)
	if err != nil {
		return problem.New(problem.Usage, "check notify.mail in holdfast.yml", "write mail: %w", err)
	}
	stop, end := context.WithCancel(ctx)
	defer end()
	ctx, cancel := context.WithTimeout(stop, mailTimeout)
	defer cancel()
	var conn net.Conn
	client, err := w.client(ctx, stop, &conn)
	if err != nil {
		return err
	}
	err = client.DialWithContext(ctx)
	if conn != nil { // what fails before it is ready is left open otherwise
		defer conn.Close()
	}
	if err != nil {
		return fmt.Errorf("reach mail server %s: %w", w.cfg.Server, err)
	}
	err = taken(msg, client.Send(msg))
	if err == nil {
		client.Close() // it has the mail, however it says goodbye
	}
	return err
}

func (w *mailWay) message(m message) (*mail.Msg, error) {
	msg := mail.NewMsg()
	if err := errors.Join(msg.From(w.cfg.From), msg.To(w.to)); err != nil {
		return nil, err
	}
	_, domain, _ := strings.Cut(w.cfg.From, "@")
	msg.SetMessageIDWithValue(m.ID + "@" + domain)
	msg.SetDateWithValue(m.Made)
	msg.Subject(m.Subject)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // no absence notes, please
	msg.SetGenHeader("X-Holdfast-Cloud", w.t.cloud)
	msg.SetBodyString(mail.TypeTextPlain, m.Text)
	if m.HTML != "" {
		msg.AddAlternativeString(mail.TypeTextHTML, m.HTML)
	}
	return msg, nil
}

// client prepares to speak with the server; conn is set to what it speaks over, which ends with stop: sending itself knows no context.
func (w *mailWay) client(ctx, stop context.Context, conn *net.Conn) (*mail.Client, error) {
	secure, err := tlsConfig(w.cfg.Server, w.cfg.CA)
	if err != nil {
		return nil, err
	}
	password, err := w.t.resolve(ctx, w.cfg.Password, "password of the mail server")
	if err != nil {
		return nil, err
	}
	options := []mail.Option{
		mail.WithPort(w.cfg.Port), mail.WithTimeout(mailTimeout), mail.WithHELO(heloName(w.t.host)), mail.WithoutNoop(), mail.WithTLSConfig(secure),
		mail.WithDialContextFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := w.connect(ctx, network, address, secure)
			if *conn = c; err == nil {
				context.AfterFunc(stop, func() { c.Close() })
			}
			return c, err
		}),
		mail.WithTLSPolicy(mail.TLSMandatory),
	}
	if w.cfg.TLS != "starttls" {
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	}
	if w.cfg.User != "" {
		kind := mail.SMTPAuthAutoDiscover
		if w.cfg.TLS != "starttls" { // encrypted underneath, or on this host: configuration allows no other
			kind = mail.SMTPAuthPlainNoEnc
		}
		options = append(options, mail.WithSMTPAuth(kind), mail.WithUsername(w.cfg.User), mail.WithPassword(password.Reveal()))
	}
	client, err := mail.NewClient(w.cfg.Server, options...)
	if err != nil {
		return nil, fmt.Errorf("prepare mail: %w", err)
	}
	return client, nil
}

func (w *mailWay) connect(ctx context.Context, network, address string, secure *tls.Config) (net.Conn, error) {
	c, err := w.t.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		c.SetDeadline(deadline)
	}
	if w.cfg.TLS != "implicit" {
		return c, nil
	}
	t := tls.Client(c, secure)
	if err := t.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return t, nil
}

// heloName is the host's name, if it can stand in a greeting.
func heloName(host string) string {
	if host == "" || strings.ContainsAny(host, " \t") {
		return "localhost"
	}
	return host
}

// tlsConfig holds a server to certificates: those of a file, or the system's.
func tlsConfig(server, ca string) (*tls.Config, error) {
	c := &tls.Config{ServerName: server, MinVersion: tls.VersionTLS12}
	if ca == "" {
		return c, nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, problem.New(problem.Usage, "check ca: in holdfast.yml", "read certificates: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, problem.New(problem.Usage, "name a file of certificates in PEM", "no certificate in %s", ca)
	}
	return c, nil
}

// taken says what an error of sending means: a mail that was taken stays taken, and one whose end was not confirmed may have been.
func taken(msg *mail.Msg, err error) error {
	if err == nil || msg.IsDelivered() {
		return nil
	}
	var send *mail.SendError
	if errors.As(err, &send) && send.ErrorCode() == 0 && (send.Reason == mail.ErrSMTPDataClose || send.Reason == mail.ErrWriteContent) {
		return doubtful{fmt.Errorf("send mail: %w", err)}
	}
	return fmt.Errorf("send mail: %w", err)
}
