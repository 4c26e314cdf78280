// Answers without a model: "no" where the new prompt meets a deletion, an error on "boom".
module.exports = class {
  id() { return 'fake:support'; }
  async callApi(prompt) {
    if (prompt.includes('boom')) return { error: 'the provider is down' };
    const bad = prompt.startsWith('New') && prompt.includes('delete');
    return { output: bad ? 'no' : 'yes', tokenUsage: { total: 15, prompt: 12, completion: 3 }, cost: 0.002 };
  }
};
