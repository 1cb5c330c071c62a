-- How many tokens a namespace has is counted whenever one is created.
CREATE INDEX runlater_tokens_namespace ON runlater_tokens (namespace);
