/*
 * What payloads of GitHub, Slack and Stripe have in common: names of fields in their usual order, and the fixed parts of
 * URLs. An encoder that has seen this before writes a reference of four bytes where a payload repeats it. Our own
 * composition: no payload is copied, no person, account or repository is named.
 *
 * It is part of the stored form and of codec `lz4-1`: one character more or less, and every job stored so far is
 * unreadable. It never changes; a better one is `lz4-2` beside it, and the test that holds its hash says so too.
 * A text of ASCII alone, so that a position is the same in characters and bytes.
 */

/** `"name":"prefix` and what follows the owner's or repository's own part of the URL. */
function urls(prefix: string, fields: readonly (readonly [name: string, rest: string])[]): string {
  return fields.map(([name, rest]) => `"${name}":"${prefix}${rest}",`).join('')
}

function nulls(names: string): string {
  return fields(names, 'null')
}

function fields(names: string, value: string): string {
  return names
    .split(' ')
    .map((name) => `"${name}":${value},`)
    .join('')
}

const api = 'https://api.github.com'

const githubUser = [
  '"user":{"login":"","id":,"node_id":"MDQ6VXNlc","avatar_url":"https://avatars.githubusercontent.com/u/?v=4",',
  '"gravatar_id":"",',
  `"url":"${api}/users/","html_url":"https://github.com/",`,
  urls(`${api}/users/`, [
    ['followers_url', '/followers'],
    ['following_url', '/following{/other_user}'],
    ['gists_url', '/gists{/gist_id}'],
    ['starred_url', '/starred{/owner}{/repo}'],
    ['subscriptions_url', '/subscriptions'],
    ['organizations_url', '/orgs'],
    ['repos_url', '/repos'],
    ['events_url', '/events{/privacy}'],
    ['received_events_url', '/received_events'],
  ]),
  '"type":"User","site_admin":false},"type":"Organization","site_admin":false},"type":"Bot","site_admin":false},',
].join('')

const githubRepository = [
  '"repository":{"id":,"node_id":"MDEwOlJlcG9zaXRvcn","name":"","full_name":"/","private":false,"owner":{"login":"',
  '"site_admin":false},"private":true,"owner":{"login":"',
  '"site_admin":false},"html_url":"https://github.com/","description":null,"fork":false,',
  `"url":"${api}/repos/","forks_url":"${api}/repos/`,
  '/forks",',
  urls(`${api}/repos/`, [
    ['keys_url', '/keys{/key_id}'],
    ['collaborators_url', '/collaborators{/collaborator}'],
    ['teams_url', '/teams'],
    ['hooks_url', '/hooks'],
    ['issue_events_url', '/issues/events{/number}'],
    ['events_url', '/events'],
    ['assignees_url', '/assignees{/user}'],
    ['branches_url', '/branches{/branch}'],
    ['tags_url', '/tags'],
    ['blobs_url', '/git/blobs{/sha}'],
    ['git_tags_url', '/git/tags{/sha}'],
    ['git_refs_url', '/git/refs{/sha}'],
    ['trees_url', '/git/trees{/sha}'],
    ['statuses_url', '/statuses/{sha}'],
    ['languages_url', '/languages'],
    ['stargazers_url', '/stargazers'],
    ['contributors_url', '/contributors'],
    ['subscribers_url', '/subscribers'],
    ['subscription_url', '/subscription'],
    ['commits_url', '/commits{/sha}'],
    ['git_commits_url', '/git/commits{/sha}'],
    ['comments_url', '/comments{/number}'],
    ['issue_comment_url', '/issues/comments{/number}'],
    ['contents_url', '/contents/{+path}'],
    ['compare_url', '/compare/{base}...{head}'],
    ['merges_url', '/merges'],
    ['archive_url', '/{archive_format}{/ref}'],
    ['downloads_url', '/downloads'],
    ['issues_url', '/issues{/number}'],
    ['pulls_url', '/pulls{/number}'],
    ['milestones_url', '/milestones{/number}'],
    ['notifications_url', '/notifications{?since,all,participating}'],
    ['labels_url', '/labels{/name}'],
    ['releases_url', '/releases{/id}'],
    ['deployments_url', '/deployments'],
  ]),
  '"created_at":"2020-01-01T00:00:00Z","updated_at":"2024-0","pushed_at":"2025-1',
  '","git_url":"git://github.com/.git","ssh_url":"git@github.com:.git","clone_url":"https://github.com/',
  '.git","svn_url":"https://github.com/","homepage":null,"size":0,"stargazers_count":0,"watchers_count":0,',
  '"homepage":"","size":0,"language":null,"language":"TypeScript","has_issues":true,"has_projects":true,',
  '"has_downloads":true,"has_wiki":true,"has_pages":false,"has_discussions":false,"forks_count":0,"mirror_url":null,',
  '"has_pages":true,"forks_count":0,"mirror_url":null,"archived":false,"disabled":false,"open_issues_count":0,',
  '"license":null,"forks":0,"open_issues_count":2,"license":{"key":"mit","name":"MIT License","spdx_id":"MIT","url":"',
  `${api}/licenses/mit","node_id":"},"allow_forking":true,"is_template":false,"web_commit_signoff_required":false,`,
  '"topics":[],"visibility":"public","forks":0,"open_issues":0,"watchers":0,"default_branch":"main",',
  '"forks":1,"open_issues":2,"watchers":0,"default_branch":"master","is_template":false,"topics":[],"visibility":"public",',
  '"web_commit_signoff_required":false,"custom_properties":{}},"stargazers":0,"master_branch":"master"},',
].join('')

const githubOther = [
  `"organization":{"login":"","id":,"node_id":"MDEyOk9yZ2FuaXphdGlvb","url":"${api}/orgs/",`,
  urls(`${api}/orgs/`, [
    ['repos_url', '/repos'],
    ['events_url', '/events'],
    ['hooks_url', '/hooks'],
    ['issues_url', '/issues'],
    ['members_url', '/members{/member}'],
    ['public_members_url', '/public_members{/member}'],
  ]),
  '"avatar_url":"https://avatars.githubusercontent.com/u/?v=4","description":""},',
  '"sender":{"login":"","installation":{"id":,"node_id":"MDIzOkludGVncmF0aW9uSW5zdGFsbGF0aW9u"}}',
  `{"action":"opened","number":1,"pull_request":{"url":"${api}/repos//pulls/1","id":,"node_id":"PR_",`,
  '"html_url":"https://github.com//pull/1","diff_url":"https://github.com//pull/.diff","patch_url":"https://github.com/',
  `/pull/.patch","issue_url":"${api}/repos//issues/1","number":1,"state":"open","locked":false,"title":"",`,
  '"body":null,"created_at":"2023-0","updated_at":"2023-1","closed_at":null,"merged_at":null,"merge_commit_sha":null,',
  '"assignee":null,"assignees":[],"requested_reviewers":[],"requested_teams":[],"labels":[],"milestone":null,',
  `"draft":false,"commits_url":"${api}/repos//pulls//commits","review_comments_url":"${api}/repos//pulls//comments",`,
  `"review_comment_url":"${api}/repos//pulls/comments{/number}","comments_url":"${api}/repos//issues//comments",`,
  `"statuses_url":"${api}/repos//statuses/","head":{"label":":","ref":"","sha":"","user":{"login":"`,
  '"repo":{"id":,"node_id":"R_","base":{"label":":main","ref":"main","sha":"",',
  `"_links":{"self":{"href":"${api}/repos//pulls/1"},"html":{"href":"https://github.com//pull/1"},`,
  `"issue":{"href":"${api}/repos//issues/1"},"comments":{"href":"${api}/repos//issues/1/comments"},`,
  `"review_comments":{"href":"${api}/repos//pulls//comments"},`,
  `"review_comment":{"href":"${api}/repos//pulls/comments{/number}"},"commits":{"href":"${api}/repos//pulls//commits"},`,
  `"statuses":{"href":"${api}/repos//statuses/"}},"author_association":"OWNER","active_lock_reason":null,`,
  '"author_association":"CONTRIBUTOR","auto_merge":null,"author_association":"NONE","merged":false,"mergeable":null,',
  '"rebaseable":null,"mergeable_state":"unknown","merged_by":null,"comments":0,"review_comments":0,',
  '"maintainer_can_modify":false,"commits":1,"additions":1,"deletions":1,"changed_files":1},',
  `{"action":"created","issue":{"url":"${api}/repos//issues/1","repository_url":"${api}/repos/",`,
  `"labels_url":"${api}/repos//issues//labels{/name}","comments_url":"${api}/repos//issues//comments",`,
  `"events_url":"${api}/repos//issues//events","html_url":"https://github.com//issues/1","id":,"node_id":"I_",`,
  `"labels":[{"id":,"node_id":"LA_","url":"${api}/repos//labels/bug","name":"bug","color":"d73a4a","default":true,`,
  '"description":"Something isn\'t working"}],"state":"closed","locked":false,"performed_via_github_app":null,',
  `"reactions":{"url":"${api}/repos//issues//reactions","total_count":0,"+1":0,"-1":0,"laugh":0,"hooray":0,`,
  '"confused":0,"heart":0,"rocket":0,"eyes":0},"timeline_url":"","state_reason":null},',
  `"comment":{"url":"${api}/repos//issues/comments/","html_url":"https://github.com//issues/1#issuecomment-",`,
  `"issue_url":"${api}/repos//issues/1","pull_request_review_id":,"diff_hunk":"@@ -1 +1 @@","path":"README.md",`,
  '"position":1,"original_position":1,"commit_id":"","original_commit_id":"","in_reply_to_id":,',
  '"review":{"submitted_at":"","milestone":{"creator":{"login":"","open_issues":0,"closed_issues":0,"due_on":"',
  '{"action":"completed","check_run":{"id":,"head_sha":"","external_id":"","details_url":"","status":"completed",',
  '"conclusion":"success","started_at":"","completed_at":"","output":{"title":null,"summary":null,"text":null,',
  `"annotations_count":0,"annotations_url":"${api}/repos//check-runs//annotations"},"check_suite":{"id":,`,
  '"head_branch":"main","status":"queued","conclusion":null,"before":"0000000000000000000000000000000000000000',
  '","after":"","pull_requests":[],"app":{"id":,"slug":"","node_id":"","name":"","external_url":"","latest_check_runs_count":',
  '"check_runs_url":"","head_commit":{"id":"","tree_id":"","message":"","timestamp":"","author":{"name":"","email":"',
  '@users.noreply.github.com","username":""},"committer":{"name":"GitHub","email":"noreply@github.com","username":"web-flow"},',
  '"added":[],"removed":[],"modified":["README.md"]}}',
  '"permissions":{"actions":"read","administration":"write","checks":"write","contents":"write","deployments":"write",',
  '"issues":"write","members":"read","metadata":"read","organization_administration":"read","organization_hooks":"write",',
  '"organization_plan":"read","organization_projects":"write","organization_user_blocking":"write","pages":"write",',
  '"pull_requests":"write","repository_hooks":"write","repository_projects":"write","statuses":"write",',
  '"team_discussions":"write","vulnerability_alerts":"read"},"events":["push","pull_request","check_run","check_suite"]',
  '{"ref":"refs/heads/main","before":"","pusher":{"name":"","email":"","pusher_type":"user","created":false,',
  '"deleted":false,"forced":false,"base_ref":null,"compare":"https://github.com//compare/...","commits":[{"distinct":true,',
  '"workflow_run":{"id":,"name":"","run_number":1,"event":"push","workflow_id":,"check_suite_id":,"run_attempt":1,',
  `"run_started_at":"","jobs_url":"${api}/repos//actions/runs//jobs","logs_url":"${api}/repos//actions/runs//logs",`,
  '"check_suite_url":"","artifacts_url":"","cancel_url":"","rerun_url":"","workflow_url":"","head_repository":{',
  '"release":{"upload_url":"https://uploads.github.com/repos/","tag_name":"","target_commitish":"","prerelease":false,',
  '"published_at":"","assets":[],"tarball_url":"","zipball_url":"","deployment":{"task":"deploy","original_environment":"',
  '"environment":"production","payload":{},"discussion":{"category":{"id":,"node_id":"DIC_","repository_id":,"emoji":"',
  '"slug":"","is_answerable":true},"answer_html_url":null,"answer_chosen_at":null,"answer_chosen_by":null,',
  '"team":{"name":"","privacy":"closed","permission":"pull","repositories_url":"","changes":{"body":{"from":"',
].join('')

const stripe = [
  '{"id":"evt_","object":"event","api_version":"2024-06-20","created":17,"data":{"object":{"id":"pi_3","object":"',
  'payment_intent","amount":,"amount_capturable":0,"amount_received":0,"customer":"cus_","currency":"usd",',
  '"livemode":false,"metadata":{},"pending_webhooks":1,"request":{"id":"req_","idempotency_key":"',
  nulls('application application_fee_amount automatic_payment_methods canceled_at cancellation_reason'),
  nulls('description invoice last_payment_error latest_charge next_action on_behalf_of payment_method processing'),
  nulls('receipt_email review setup_future_usage shipping source statement_descriptor transfer_data transfer_group'),
  '"billing_details":{"address":{"city":null,"country":null,"line1":null,"line2":null,"postal_code":null,"state":null},',
  '"email":null,"name":null,"phone":null},"payment_method_types":["card"],"status":"succeeded","type":"charge.succeeded"}',
  '"object":"subscription","items":{"object":"list","data":[{"id":"si_","price":{"id":"price_","object":"price",',
  '"active":true,"billing_scheme":"per_unit","product":"prod_","recurring":{"interval":"month","interval_count":1,',
  '"usage_type":"licensed"},"unit_amount":,"has_more":false,"total_count":1,"url":"/v1/',
].join('')

const slack = [
  '{"token":"","team_id":"T0","context_team_id":"T0","context_enterprise_id":null,"api_app_id":"A0","event":{"user":"U0',
  '","type":"message","channel":"C0","text":"<@U0","ts":"17","channel_type":"channel","event_ts":"17',
  '","type":"app_mention","ts":"","client_msg_id":"","text":"","team":"T0","blocks":[{"type":"rich_text","block_id":"',
  '","elements":[{"type":"rich_text_section","elements":[{"type":"user","user_id":"U0"},{"type":"text","text":" ',
  '"}]}]}],"channel":"C0","thread_ts":"","parent_user_id":"U0","event_ts":"","channel_type":"im"},"type":"event_callback",',
  '"event_id":"Ev0","event_time":17,"authorizations":[{"enterprise_id":null,"team_id":"T0","user_id":"U0","is_bot":true,',
  '"is_enterprise_install":false}],"is_ext_shared_channel":false,"event_context":"4-eyJldCI6I',
  '"files":[{"id":"F0","created":,"timestamp":,"name":"","title":"","mimetype":"image/png","filetype":"png",',
  '"url_private":"https://files.slack.com/files-pri/T0","bot_id":"B0","bot_profile":{"id":"B0","deleted":false,',
  '"subtype":"bot_message","reaction":"","item_user":"U0","item":{"type":"message","channel":"C0","ts":"17',
].join('')

export const dictionary = Buffer.from(stripe + githubOther + githubRepository + githubUser + slack, 'latin1')
