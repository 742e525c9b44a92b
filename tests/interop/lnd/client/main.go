// A program like those that keep shops on LND: it connects to two wallets through
// lndclient, subscribes to one's invoices, pays from the other and looks both ends up.
//
// usage: client SELLER_ADDRESS SELLER_DIR BUYER_ADDRESS BUYER_DIR
//
// Each directory is laid out as LND's. Prints a line per step that held; the first
// that did not ends the program with a failure.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/lightninglabs/lndclient"
	invpkg "github.com/lightningnetwork/lnd/invoices"
	"github.com/lightningnetwork/lnd/lnrpc"
	"github.com/lightningnetwork/lnd/lnrpc/invoicesrpc"
	"github.com/lightningnetwork/lnd/lnrpc/verrpc"
	"github.com/lightningnetwork/lnd/lntypes"
	"github.com/lightningnetwork/lnd/lnwire"
)

const (
	price  = lnwire.MilliSatoshi(21_500)
	memo   = "interop through lndclient"
	expiry = 600

	// patience bounds the whole program: every call shares its context.
	patience = 45 * time.Second
)

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: client SELLER_ADDRESS SELLER_DIR BUYER_ADDRESS BUYER_DIR")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()

	if err := run(ctx, os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, sellerAddress, sellerDir, buyerAddress, buyerDir string) error {
	seller, err := connect(ctx, sellerAddress, sellerDir)
	if err != nil {
		return fmt.Errorf("start, seller: %w", err)
	}
	defer seller.Close()
	buyer, err := connect(ctx, buyerAddress, buyerDir)
	if err != nil {
		return fmt.Errorf("start, buyer: %w", err)
	}
	defer buyer.Close()
	fmt.Println("start")

	// Cancelled before the connections close, so that the stream ends first.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	from, err := lastInvoice(ctx, seller)
	if err != nil {
		return fmt.Errorf("last invoice: %w", err)
	}
	events, broken, err := seller.Client.SubscribeInvoices(ctx, lndclient.InvoiceSubscriptionRequest{
		AddIndex: from,
	})
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	invoice, err := sell(ctx, seller)
	if err != nil {
		return err
	}
	fmt.Println("add invoice, decode")
	if err := expect(ctx, events, broken, invoice.hash, invpkg.ContractOpen); err != nil {
		return fmt.Errorf("subscribe, added: %w", err)
	}
	fmt.Println("subscribe: added")

	preimage, err := pay(ctx, buyer, invoice.request)
	if err != nil {
		return fmt.Errorf("pay: %w", err)
	}
	if preimage.Hash() != invoice.hash {
		return errors.New("pay: the preimage does not open the invoice's hash")
	}
	fmt.Println("pay")

	if err := expect(ctx, events, broken, invoice.hash, invpkg.ContractSettled); err != nil {
		return fmt.Errorf("subscribe, settled: %w", err)
	}
	fmt.Println("subscribe: settled")

	if err := lookUp(ctx, seller, buyer, invoice, preimage); err != nil {
		return fmt.Errorf("look up: %w", err)
	}
	fmt.Println("look up")

	if _, err := pay(ctx, buyer, invoice.request); err == nil {
		return errors.New("pay twice: the second payment was accepted")
	}
	fmt.Println("pay twice is refused")
	return nil
}

func connect(ctx context.Context, address, dir string) (*lndclient.GrpcLndServices, error) {
	return lndclient.NewLndServices(&lndclient.LndServicesConfig{
		LndAddress:  address,
		Network:     lndclient.NetworkRegtest,
		MacaroonDir: filepath.Join(dir, "data", "chain", "bitcoin", "regtest"),
		TLSPath:     filepath.Join(dir, "tls.cert"),
		CheckVersion: &verrpc.Version{
			AppMinor:  20,
			BuildTags: []string{"signrpc", "walletrpc", "chainrpc", "invoicesrpc"},
		},
		BlockUntilChainSynced: true,
		BlockUntilUnlocked:    true,
		ChainSyncPollInterval: 100 * time.Millisecond,
		CallerCtx:             ctx,
	})
}

type quoted struct {
	hash    lntypes.Hash
	request string
}

// lastInvoice adds an invoice and tells its place. A subscription from a known place misses
// nothing, while one from "now" races with whatever is added while it is being set up.
func lastInvoice(ctx context.Context, seller *lndclient.GrpcLndServices) (uint64, error) {
	invoice, err := sell(ctx, seller)
	if err != nil {
		return 0, err
	}
	added, err := seller.Client.LookupInvoice(ctx, invoice.hash)
	if err != nil {
		return 0, err
	}
	return added.AddIndex, nil
}

// sell adds an invoice and reads it back as a payer would.
func sell(ctx context.Context, seller *lndclient.GrpcLndServices) (quoted, error) {
	hash, request, err := seller.Client.AddInvoice(ctx, &invoicesrpc.AddInvoiceData{
		Memo:   memo,
		Value:  price,
		Expiry: expiry,
	})
	if err != nil {
		return quoted{}, fmt.Errorf("add invoice: %w", err)
	}
	decoded, err := seller.Client.DecodePaymentRequest(ctx, request)
	if err != nil {
		return quoted{}, fmt.Errorf("decode: %w", err)
	}
	if decoded.Hash != hash || decoded.Value != price || decoded.Description != memo ||
		decoded.Destination != seller.NodePubkey {
		return quoted{}, fmt.Errorf("decode: the invoice reads %+v", decoded)
	}
	return quoted{hash: hash, request: request}, nil
}

// pay waits for the payment's last word.
func pay(ctx context.Context, buyer *lndclient.GrpcLndServices, request string) (lntypes.Preimage, error) {
	updates, broken, err := buyer.Router.SendPayment(ctx, lndclient.SendPaymentRequest{
		Invoice: request,
		MaxFee:  10,
		Timeout: 20 * time.Second,
	})
	if err != nil {
		return lntypes.Preimage{}, err
	}
	for {
		select {
		case update, open := <-updates:
			switch {
			case !open:
				return lntypes.Preimage{}, errors.New("the stream ended before the payment did")
			case update.State == lnrpc.Payment_SUCCEEDED:
				return update.Preimage, nil
			case update.State == lnrpc.Payment_FAILED:
				return lntypes.Preimage{}, fmt.Errorf("failed: %v", update.FailureReason)
			}
		case err := <-broken:
			return lntypes.Preimage{}, err
		case <-ctx.Done():
			return lntypes.Preimage{}, ctx.Err()
		}
	}
}

// expect waits for one invoice to be announced in one state; others are not its business.
func expect(ctx context.Context, events <-chan *lndclient.Invoice, broken <-chan error,
	hash lntypes.Hash, state invpkg.ContractState) error {

	for {
		select {
		case invoice, open := <-events:
			if !open {
				return errors.New("the subscription ended")
			}
			if invoice.Hash == hash && invoice.State == state {
				return nil
			}
		case err := <-broken:
			return fmt.Errorf("the subscription broke: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("no event %v: %w", state, ctx.Err())
		}
	}
}

// lookUp asks both ends what became of the payment; they must agree.
func lookUp(ctx context.Context, seller, buyer *lndclient.GrpcLndServices, invoice quoted,
	preimage lntypes.Preimage) error {

	sold, err := seller.Client.LookupInvoice(ctx, invoice.hash)
	if err != nil {
		return err
	}
	if sold.State != invpkg.ContractSettled || sold.AmountPaid != price || sold.Memo != memo ||
		sold.Preimage == nil || *sold.Preimage != preimage {
		return fmt.Errorf("the seller's invoice reads %+v", sold)
	}

	tracked, broken, err := buyer.Router.TrackPayment(ctx, invoice.hash)
	if err != nil {
		return err
	}
	select {
	case payment := <-tracked:
		if payment.State != lnrpc.Payment_SUCCEEDED || payment.Preimage != preimage || payment.Value != price {
			return fmt.Errorf("the buyer's payment reads %+v", payment)
		}
	case err := <-broken:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}
