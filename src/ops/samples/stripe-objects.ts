import { alphanumerics, capitals, nulls } from './sample.ts'

/* Stripe's objects with all their fields, after docs.stripe.com/api. An object never leaves a field out: it is null. */

export const stripeId = (prefix: string) => `${prefix}_${alphanumerics(24)}`
export const customerId = 'cus_MILLRACEsample'
export const email = 'ada@example.com'
export const day = 86_400
export const shared = { livemode: false, metadata: {} }

export function paymentIntent(created: number, more: object) {
  const id = stripeId('pi')
  return {
    id,
    object: 'payment_intent',
    ...shared,
    ...nulls('allowed_payment_method_types application application_fee_amount canceled_at cancellation_reason'),
    ...nulls('customer_account excluded_payment_method_types last_payment_error latest_charge managed_payments'),
    ...nulls('next_action on_behalf_of payment_method payment_method_configuration_details payment_record processing'),
    ...nulls(
      'receipt_email review setup_future_usage shipping source statement_descriptor statement_descriptor_suffix',
    ),
    ...nulls('transfer_data transfer_group'),
    amount: 2000,
    amount_capturable: 0,
    amount_received: 0,
    automatic_payment_methods: { allow_redirects: 'always', enabled: true },
    capture_method: 'automatic_async',
    client_secret: `${id}_secret_${alphanumerics(25)}`,
    confirmation_method: 'automatic',
    created,
    currency: 'eur',
    customer: customerId,
    description: 'Flour, one sack',
    payment_method_options: {
      card: { ...nulls('installments mandate_options network'), request_three_d_secure: 'automatic' },
    },
    payment_method_types: ['card'],
    ...more,
  }
}

export function charge(created: number, more: object) {
  return {
    id: stripeId('ch'),
    object: 'charge',
    ...shared,
    ...nulls('application application_fee application_fee_amount failure_balance_transaction failure_code'),
    ...nulls('failure_message on_behalf_of receipt_number review shipping source source_transfer'),
    ...nulls('statement_descriptor statement_descriptor_suffix transfer_data transfer_group'),
    amount: 2000,
    amount_captured: 2000,
    amount_refunded: 0,
    balance_transaction: stripeId('txn'),
    billing_details: { ...nulls('address phone tax_id'), email, name: 'Ada Example' },
    calculated_statement_descriptor: 'MILLRACE',
    captured: true,
    created,
    currency: 'eur',
    customer: customerId,
    description: 'Flour, one sack',
    disputed: false,
    fraud_details: {},
    outcome: {
      ...nulls('advice_code network_advice_code network_decline_code reason'),
      network_status: 'approved_by_network',
      risk_level: 'normal',
      risk_score: 12,
      seller_message: 'Payment complete.',
      type: 'authorized',
    },
    paid: true,
    payment_intent: stripeId('pi'),
    payment_method: stripeId('pm'),
    payment_method_details: { card: card(), type: 'card' },
    receipt_email: email,
    receipt_url: 'https://pay.stripe.example/receipts/sample',
    refunded: false,
    status: 'succeeded',
    ...more,
  }
}

function card() {
  return {
    ...nulls(
      'authorization_code electronic_commerce_indicator installments mandate network_token three_d_secure wallet',
    ),
    amount_authorized: 2000,
    brand: 'visa',
    checks: { ...nulls('address_line1_check address_postal_code_check'), cvc_check: 'pass' },
    country: 'US',
    exp_month: 12,
    exp_year: 2034,
    fingerprint: alphanumerics(16),
    funding: 'credit',
    last4: '4242',
    network: 'visa',
  }
}

/** What a failed payment says about itself. */
export function declined() {
  return {
    code: 'card_declined',
    decline_code: 'insufficient_funds',
    doc_url: 'https://stripe.com/docs/error-codes/card-declined',
    message: 'Your card has insufficient funds.',
    payment_method_type: 'card',
    type: 'card_error',
  }
}

export function checkoutSession(created: number) {
  const id = `cs_test_${alphanumerics(58)}`
  return {
    id,
    object: 'checkout.session',
    ...shared,
    ...nulls('after_expiration allow_promotion_codes allowed_payment_method_types billing_address_collection'),
    ...nulls('client_reference_id client_secret collected_information consent consent_collection currency_conversion'),
    ...nulls('customer customer_account customer_email discounts integration_identifier invoice locale'),
    ...nulls('managed_payments origin_context payment_link payment_method_configuration_details permissions'),
    ...nulls('recovered_from saved_payment_method_options setup_intent shipping_address_collection shipping_cost'),
    ...nulls('submit_type subscription url wallet_options'),
    adaptive_pricing: { enabled: true },
    amount_subtotal: 2000,
    amount_total: 2000,
    automatic_tax: { enabled: false, ...nulls('liability provider status') },
    cancel_url: 'https://example.com/cart',
    created,
    currency: 'eur',
    custom_fields: [],
    custom_text: nulls('after_submit shipping_address submit terms_of_service_acceptance'),
    customer_creation: 'if_required',
    customer_details: {
      ...nulls('address business_name individual_name phone'),
      email,
      name: 'Ada Example',
      tax_exempt: 'none',
      tax_ids: [],
    },
    expires_at: created + day,
    invoice_creation: {
      enabled: false,
      invoice_data: {
        ...nulls('account_tax_ids custom_fields description footer issuer rendering_options'),
        metadata: {},
      },
    },
    mode: 'payment',
    payment_intent: stripeId('pi'),
    payment_method_collection: 'if_required',
    payment_method_options: { card: { request_three_d_secure: 'automatic' } },
    payment_method_types: ['card'],
    payment_status: 'paid',
    phone_number_collection: { enabled: false },
    shipping_options: [],
    status: 'complete',
    success_url: 'https://example.com/thanks',
    total_details: { amount_discount: 0, amount_shipping: 0, amount_tax: 0 },
    ui_mode: 'hosted_page',
  }
}

export function customer(created: number) {
  return {
    id: stripeId('cus'),
    object: 'customer',
    ...shared,
    ...nulls('address currency customer_account default_source description discount phone shipping test_clock'),
    balance: 0,
    created,
    delinquent: false,
    email,
    invoice_prefix: capitals(8),
    invoice_settings: nulls('custom_fields default_payment_method footer rendering_options'),
    name: 'Ada Example',
    next_invoice_sequence: 1,
    preferred_locales: ['en'],
    tax_exempt: 'none',
  }
}

export function subscription(created: number) {
  const id = stripeId('sub')
  const item = {
    id: stripeId('si'),
    object: 'subscription_item',
    metadata: {},
    ...nulls('billing_thresholds current_trial'),
    created,
    current_period_start: created,
    current_period_end: created + 30 * day,
    discounts: [],
    plan: plan(created),
    price: price(created),
    quantity: 2,
    subscription: id,
    tax_rates: [],
  }
  return {
    id,
    object: 'subscription',
    ...shared,
    ...nulls(
      'application application_fee_percent billing_cycle_anchor_config billing_thresholds cancel_at canceled_at',
    ),
    ...nulls('customer_account days_until_due default_source description ended_at managed_payments'),
    ...nulls('next_pending_invoice_item_invoice on_behalf_of pause_collection pending_invoice_item_interval'),
    ...nulls('pending_setup_intent pending_update schedule test_clock transfer_data trial_end trial_start'),
    automatic_tax: { enabled: false, ...nulls('disabled_reason liability') },
    billing_cycle_anchor: created,
    billing_mode: { flexible: null, type: 'classic' },
    billing_schedules: [],
    cancel_at_period_end: false,
    cancellation_details: nulls('comment feedback reason'),
    collection_method: 'charge_automatically',
    created,
    currency: 'eur',
    customer: customerId,
    default_payment_method: stripeId('pm'),
    default_tax_rates: [],
    discounts: [],
    invoice_settings: { ...nulls('account_tax_ids custom_fields description footer'), issuer: { type: 'self' } },
    items: list([item], `/v1/subscription_items?subscription=${id}`),
    latest_invoice: stripeId('in'),
    payment_settings: { ...nulls('payment_method_options payment_method_types'), save_default_payment_method: 'off' },
    start_date: created,
    status: 'active',
    trial_settings: { end_behavior: { missing_payment_method: 'create_invoice' } },
  }
}

function plan(created: number) {
  return {
    id: 'price_MILLRACEsample',
    object: 'plan',
    ...shared,
    ...nulls('meter nickname tiers_mode transform_usage trial_period_days'),
    active: true,
    amount: 1000,
    amount_decimal: '1000',
    billing_scheme: 'per_unit',
    created,
    currency: 'eur',
    interval: 'month',
    interval_count: 1,
    product: 'prod_MILLRACEsample',
    usage_type: 'licensed',
  }
}

function price(created: number) {
  return {
    id: 'price_MILLRACEsample',
    object: 'price',
    ...shared,
    ...nulls('custom_unit_amount lookup_key nickname tiers_mode transform_quantity'),
    active: true,
    billing_scheme: 'per_unit',
    created,
    currency: 'eur',
    product: 'prod_MILLRACEsample',
    recurring: { interval: 'month', interval_count: 1, ...nulls('meter trial_period_days'), usage_type: 'licensed' },
    tax_behavior: 'unspecified',
    type: 'recurring',
    unit_amount: 1000,
    unit_amount_decimal: '1000',
  }
}

export function list(data: readonly object[], url: string) {
  return { object: 'list', data, has_more: false, url }
}
